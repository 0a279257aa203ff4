-- The moves of a job from one state to another.
local moves = {}

-- Take it out of the line, or out of its worker's hands.
local function let_go(one)
    if one.state == 'running' and one.worker then
        call('SREM', key('held', one.worker), one.id)
        if one.cancel_requested then call('SREM', key('asked', one.worker), one.id) end
    elseif one.state == 'queued' then
        if not one.external then line.leave(one) end
        if one.start_by then call('ZREM', key('expiring'), one.id) end
    end
end

-- End a job; more fields may be given.
function moves.finish(one, state, ...)
    let_go(one)
    if one.deadline then call('ZREM', key('silent'), one.id) end
    if one.overdue then job.clear(one, 'overdue') end
    local kept_until = stamp(now + (state == 'failed' and given.keep.failed or given.keep.done))
    job.change(one, 'state', state, 'finished_at', stamp(now), 'kept_until', kept_until, ...)
    call('ZADD', key('finished'), kept_until, one.id)
    call('ZADD', key('ended'), stamp(now), one.id)
    list_as(one, state)
end

-- Put a job back, to run after so many seconds; its counts are those of the table.
function moves.requeue(one, delay)
    let_go(one)
    one.run_at = stamp(now + delay)
    job.clear(one, 'worker', 'started_at', 'overdue')
    job.change(one, 'state', 'queued', 'run_at', one.run_at, 'attempt', one.attempt,
        'failures', one.failures, 'crashes', one.crashes)
    list_as(one, 'queued')
    line.wait(one)
    if one.start_by and one.attempt == 0 then
        call('ZADD', key('expiring'), one.start_by, one.id)
    end
end

-- The process died that ran the job.
function moves.crash(one)
    if one.crashes < one.rescues then
        one.crashes = one.crashes + 1
        -- Spread, so that what was lost together does not come back together.
        moves.requeue(one, math.random() * given.jitter)
    else
        moves.finish(one, 'failed', 'crashes', one.crashes + 1, 'fault', given.lost)
    end
end

-- The worker gives the job up; an attempt that never began is taken back.
function moves.release(one, started)
    if one.cancel_requested then
        moves.finish(one, 'cancelled')
    else
        if not started then one.attempt = one.attempt - 1 end
        moves.requeue(one, 0)
    end
end

-- A sign of life of an external job; its first makes it run.
local function hear(one)
    if one.deadline then
        call('ZADD', key('silent'), now + tonumber(one.deadline), one.id)
    end
    if one.state == 'queued' then
        let_go(one)
        one.attempt = 1
        job.change(one, 'state', 'running', 'attempt', 1, 'started_at', stamp(now))
        list_as(one, 'running')
    end
end

-- The job of which somebody speaks who shows a fence, if it is still theirs.
function moves.held(id, fence)
    local one = job.read(id)
    if not one or one.fence ~= fence then return nil end
    if one.external and (one.state == 'queued' or one.state == 'running') then hear(one) end
    return one.state == 'running' and one or nil
end
