-- The log lines kept of a job above a number, and the number of the first of them.
if call('EXISTS', job.key(given.id)) == 0 then return false end
local last = call('HGET', job.key(given.id), 'last_line')
local kept = key('lines', given.id)
local first = tonumber(last or 0) - call('LLEN', kept) + 1
local from = math.max(given.after + 1 - first, 0)
return {first + from, call('LRANGE', kept, from, from + given.limit - 1)}
