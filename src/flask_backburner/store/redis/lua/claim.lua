-- Jobs that a worker takes.

local function expired(one)
    return one.attempt == 0 and one.start_by and tonumber(one.start_by) <= now
end

local function take(one)
    local first = one.fence == 0
    line.leave(one)
    if one.start_by then call('ZREM', key('expiring'), one.id) end
    one.fence = one.fence + 1
    one.attempt = one.attempt + 1
    job.change(one, 'state', 'running', 'fence', one.fence, 'attempt', one.attempt,
        'worker', given.worker, 'started_at', stamp(now), 'turn', given.turn)
    if not first then
        job.clear(one, 'current', 'total', 'message', 'phase', 'progressed_at')
    end
    call('SADD', key('held', given.worker), one.id)
    list_as(one, 'running')
    return {
        one.id, one.fence, one.task, one.queue, one.attempt,
        call('GET', key('arguments', one.id)),
        one.failures, one.retries, one.crashes,
        first and {} or call('HGETALL', key('saved', one.id)),
    }
end

local function open_queues(which)
    local open = {}
    for _, queue in ipairs(given.queues or call('SMEMBERS', key(which .. '-queues'))) do
        if call('SISMEMBER', key('paused'), queue) == 0 then open[#open + 1] = queue end
    end
    return open
end

local function claim()
    if given.room <= 0 then return {} end
    line.admit(ADMITTED_AT_ONCE)
    local which = given.alone and 'alone' or 'line'
    -- Those that have expired stay until somebody ends them, and keep nobody from running.
    local stale = call('ZCOUNT', key('expiring'), '-inf', now)
    local most = given.room + math.min(stale, ADMITTED_AT_ONCE)
    local claimed = {}
    for _, place in ipairs(line.first(which, open_queues(which), chooser(given.tasks), most)) do
        local one = job.read(place.id)
        if #claimed < given.room and not expired(one) then claimed[#claimed + 1] = take(one) end
    end
    return claimed
end
