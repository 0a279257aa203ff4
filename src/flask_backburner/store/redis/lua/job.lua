-- A job is a hash; a field that is not there has its default: 0, or nothing.
local FIELDS = {
    'task', 'queue', 'state', 'created_at', 'run_at', 'start_by', 'kept_until', 'worker',
    'owner', 'alias', 'external', 'deadline', 'cancel_requested', 'overdue',
    'seq', 'priority', 'version', 'fence', 'attempt', 'retries', 'failures', 'rescues',
    'crashes', 'began', 'last_line', 'bytes',
}
local FIRST_COUNT = 15

local job = {}

function job.key(id)
    return space .. ':job:' .. id
end

function job.read(id)
    local values = call('HMGET', job.key(id), unpack(FIELDS))
    if not values[1] then return nil end
    local one = {id = id}
    for n = 1, FIRST_COUNT - 1 do one[FIELDS[n]] = values[n] end
    for n = FIRST_COUNT, #FIELDS do one[FIELDS[n]] = tonumber(values[n] or 0) end
    return one
end

-- Write fields, given as name, value, name, value.
function job.write(one, ...)
    call('HSET', job.key(one.id), ...)
end

-- The same as a change that those who watch the job see.
function job.change(one, ...)
    one.version = one.version + 1
    job.write(one, 'version', one.version, 'updated_at', stamp(now), ...)
end

function job.clear(one, ...)
    call('HDEL', job.key(one.id), ...)
end

-- What the caller is told of a job: its fields, or what is left of one that was forgotten.
function job.told(id)
    return {call('HGETALL', job.key(id)), call('GET', key('gone', id)), stamp(now)}
end

-- How many jobs of each queue are in each state, and the bytes of all, written once at the end.
local tally = {counts = {}, bytes = 0}

function tally.count(queue, state, by)
    local field = state .. ':' .. queue
    tally.counts[field] = (tally.counts[field] or 0) + by
end

function tally.weigh(one, by)
    if by == 0 then return end
    call('HINCRBY', job.key(one.id), 'bytes', by)
    tally.bytes = tally.bytes + by
end

function tally.write()
    for field, by in pairs(tally.counts) do
        if by ~= 0 and call('HINCRBY', key('counters'), field, by) == 0 then
            call('HDEL', key('counters'), field)
        end
    end
    if tally.bytes ~= 0 then call('INCRBY', key('bytes'), tally.bytes) end
end

-- Move a job from one state's list to another's; none: it was not there before, or is gone.
local function list_as(one, state)
    if one.state then
        call('ZREM', key('state', one.state), one.id)
        tally.count(one.queue, one.state, -1)
    end
    if state then
        call('ZADD', key('state', state), one.seq, one.id)
        tally.count(one.queue, state, 1)
    end
    one.state = state
end
