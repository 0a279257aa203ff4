-- The line: the jobs that may run now, those of each queue and task in a sorted set of their own.
-- Suspicious jobs stand in a line apart, of which a worker asks for when it runs them alone.
local line = {}

function line.of(one)
    return one.crashes >= SUSPICIOUS and 'alone' or 'line'
end

function line.key(which, queue, task)
    return key(which, #queue, queue, task)
end

-- Of equal scores Redis sorts by name: so the older of two jobs of one priority is first.
function line.place(one)
    return string.format('%016d:%s', one.seq, one.id)
end

function line.id(place)
    return string.sub(place, 18)
end

function line.join(one)
    local which = line.of(one)
    local places = line.key(which, one.queue, one.task)
    call('ZADD', places, 0 - one.priority, line.place(one))
    if call('ZCARD', places) == 1 then
        call('SADD', key(which .. '-tasks', one.queue), one.task)
        call('SADD', key(which .. '-queues'), one.queue)
    end
    local since = math.max(tonumber(one.created_at), tonumber(one.run_at))
    call('ZADD', key('since', one.queue), since, one.id)
end

function line.leave(one)
    local which = line.of(one)
    local places = line.key(which, one.queue, one.task)
    if call('ZREM', places, line.place(one)) == 0 then
        call('ZREM', key('due'), one.id)
        return
    end
    call('ZREM', key('since', one.queue), one.id)
    if call('EXISTS', places) == 1 then return end
    call('SREM', key(which .. '-tasks', one.queue), one.task)
    if call('EXISTS', key(which .. '-tasks', one.queue)) == 0 then
        call('SREM', key(which .. '-queues'), one.queue)
    end
end

-- A queued job waits for its time, or its turn.
function line.wait(one)
    if one.external then return end
    if tonumber(one.run_at) > now then
        call('ZADD', key('due'), one.run_at, one.id)
    else
        line.join(one)
    end
end

-- Let those join whose time has come, in parts, so that nobody waits for a crowd.
function line.admit(most)
    local due = key('due')
    for _, id in ipairs(call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)) do
        call('ZREM', due, id)
        local one = job.read(id)
        if one then line.join(one) end
    end
end

-- Which tasks are meant by names, of which one that ends in a star stands for many.
local function chooser(names)
    local exact, beginnings = {}, {}
    for _, name in ipairs(names) do
        if string.sub(name, -1) == '*' then
            beginnings[#beginnings + 1] = string.sub(name, 1, -2)
        else
            exact[name] = true
        end
    end
    return function(task)
        if exact[task] then return true end
        for _, beginning in ipairs(beginnings) do
            if string.sub(task, 1, #beginning) == beginning then return true end
        end
        return false
    end
end

local function before(one, other)
    if one.score ~= other.score then return one.score < other.score end
    return one.seq < other.seq
end

local function first_of(places, most)
    local flat = call('ZRANGE', places, 0, most - 1, 'WITHSCORES')
    local found = {}
    for n = 1, #flat, 2 do
        found[#found + 1] = {
            id = line.id(flat[n]),
            seq = tonumber(string.sub(flat[n], 1, 16)),
            score = tonumber(flat[n + 1]),
            places = places,
        }
    end
    return found
end

-- The first in line of these queues (none: all) whose tasks are wanted.
function line.first(which, queues, wanted, most)
    local heads = {}
    for _, queue in ipairs(queues or call('SMEMBERS', key(which .. '-queues'))) do
        for _, task in ipairs(call('SMEMBERS', key(which .. '-tasks', queue))) do
            if wanted(task) then
                heads[#heads + 1] = first_of(line.key(which, queue, task), 1)[1]
            end
        end
    end
    table.sort(heads, before)
    local found = {}
    -- Whoever is among the first stands behind one of as many heads.
    for n = 1, math.min(#heads, most) do
        for _, one in ipairs(first_of(heads[n].places, most)) do found[#found + 1] = one end
    end
    table.sort(found, before)
    for n = #found, most + 1, -1 do found[n] = nil end
    return found
end
