-- What a diagnosis of a queued job takes. Reads only.
local one = job.read(given.id)
if not one then return {0} end
if one.state ~= 'queued' or one.external then return {1} end

local function ahead()
    local everything = function() return true end
    local mine, before_me = {score = 0 - one.priority, seq = one.seq}, 0
    for _, place in ipairs(line.first('line', {one.queue}, everything, COUNTED)) do
        if before(place, mine) then before_me = before_me + 1 end
    end
    return before_me
end

local function told_of(ids, ...)
    local told = {}
    for _, id in ipairs(ids) do told[#told + 1] = call('HMGET', job.key(id), ...) end
    return told
end

local since = math.max(tonumber(one.created_at), tonumber(one.run_at))
return {
    2, stamp(now), one.queue, one.run_at, stamp(since), one.failures + one.crashes,
    call('SISMEMBER', key('paused'), one.queue), ahead(), living(),
    told_of(call('ZREVRANGE', key('ended'), 0, given.sample - 1),
        'task', 'started_at', 'finished_at'),
    told_of(call('ZRANGE', key('state', 'running'), 0, given.running - 1),
        'task', 'started_at', 'current', 'total', 'progressed_at', 'external'),
}
