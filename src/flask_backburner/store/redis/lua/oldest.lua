-- Since when the oldest job could have run, of each queue that is not paused. Reads only.
local since = {}

local function note(queue, at)
    if call('SISMEMBER', key('paused'), queue) == 0 then
        since[queue] = math.min(since[queue] or at, at)
    end
end

for _, which in ipairs({'line', 'alone'}) do
    for _, queue in ipairs(call('SMEMBERS', key(which .. '-queues'))) do
        note(queue, tonumber(call('ZRANGE', key('since', queue), 0, 0, 'WITHSCORES')[2]))
    end
end
-- Nobody has let these join the line yet: where no worker is, that is all there is.
local due = call('ZRANGEBYSCORE', key('due'), '-inf', now, 'LIMIT', 0, ADMITTED_AT_ONCE)
for _, id in ipairs(due) do
    local queue, created_at, run_at = unpack(
        call('HMGET', job.key(id), 'queue', 'created_at', 'run_at'))
    note(queue, math.max(tonumber(created_at), tonumber(run_at)))
end

local told = {stamp(now)}
for queue, at in pairs(since) do
    told[#told + 1] = queue
    told[#told + 1] = stamp(at)
end
return told
