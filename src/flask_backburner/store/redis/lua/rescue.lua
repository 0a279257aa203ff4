-- Take up what dead and hung workers hold, and end what waited too long; so many at once.
in_need()
math.randomseed(given.seed)
local changed = {}

local function room()
    return given.limit - #changed
end

local function changes(one)
    changed[#changed + 1] = one.id
end

local function take_from(worker, hung)
    local held = key('held', worker)
    for _, id in ipairs(call('SRANDMEMBER', held, room())) do
        local one = job.read(id)
        if not one then
            call('SREM', held, id)
        else
            changes(one)
            local began = one.began == one.fence
            if began and not hung and not one.cancel_requested then
                moves.crash(one)
            else
                moves.release(one, began)
            end
        end
    end
end

local function take_from_dead(from, to)
    for _, worker in ipairs(call('ZRANGEBYSCORE', key('workers'), from, to, 'LIMIT', 0, 100)) do
        if room() > 0 then take_from(worker, false) end
        if call('EXISTS', key('held', worker)) == 0 then
            call('ZREM', key('workers'), worker)
            call('HDEL', key('about'), worker)
            call('DEL', key('asked', worker))
        end
    end
end

-- Silence counts only while somebody watched: after a time in which Redis was down, or nobody
-- did this, everybody is given the time to show a beat.
local function watched_long_enough()
    local at, since = unpack(call('HMGET', key('watch'), 'at', 'since'))
    at, since = tonumber(at or 0), tonumber(since or 0)
    if alive_at - at > given.gap or at > alive_at then
        since = alive_at
        call('HSET', key('watch'), 'at', stamp(alive_at), 'since', stamp(since))
    elseif alive_at - at > 1 then
        call('HSET', key('watch'), 'at', stamp(alive_at))
    end
    return alive_at - since >= given.grace
end

take_from_dead(0, 0)
if watched_long_enough() then take_from_dead('(0', stamp(alive_at - given.silence)) end
for _, worker in ipairs(given.hung) do
    if room() > 0 then take_from(worker, true) end
end

local function fail_those_of(list, fault)
    if room() <= 0 then return end
    local ids = call('ZRANGEBYSCORE', key(list), '-inf', now, 'LIMIT', 0, room())
    for _, id in ipairs(ids) do
        local one = job.read(id)
        moves.finish(one, 'failed', 'fault', fault)
        changes(one)
    end
end

fail_those_of('silent', given.unheard)
fail_those_of('expiring', given.expired)
tally.write()
return changed
