-- A worker is known to live, unless it is known to have died.
in_need()
local beat = tonumber(call('ZSCORE', key('workers'), given.worker) or 0)
if beat > 0 then call('ZADD', key('workers'), 'XX', stamp(alive_at), given.worker) end
return 0
