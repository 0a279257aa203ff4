-- How attempts end, by the outcome's name.
local outcomes = {}

function outcomes.succeeded(one, ending)
    if ending.data then
        call('SET', key('result', one.id), data(ending.data))
        tally.weigh(one, #data(ending.data))
    end
    moves.finish(one, 'succeeded', 'kind', ending.kind)
end

function outcomes.failed(one, ending)
    tally.weigh(one, #ending.fault)
    moves.finish(one, 'failed', 'fault', ending.fault)
end

function outcomes.cancelled(one)
    moves.finish(one, 'cancelled')
end

function outcomes.released(one, ending)
    moves.release(one, ending.started)
end

function outcomes.retry(one, ending)
    if one.cancel_requested then return moves.finish(one, 'cancelled') end
    one.failures = one.failures + 1
    job.write(one, 'fault', ending.fault)
    moves.requeue(one, ending.delay)
end

function outcomes.crashed(one)
    if one.cancel_requested then return moves.finish(one, 'cancelled') end
    moves.crash(one)
end

-- Whether whoever settles may speak for the job.
local function settle(ending)
    local one = moves.held(ending.id, ending.fence)
    if not one then return false end
    outcomes[ending.how](one, ending)
    return true
end
