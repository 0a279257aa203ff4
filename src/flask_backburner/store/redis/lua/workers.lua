-- A worker is alive while it shows beats; one that is known to have died has the beat 0.
local function enlist(about)
    call('ZADD', key('workers'), stamp(alive_at), about.worker)
    call('HSET', key('about'), about.worker, about.told)
end

local function living()
    local told = {}
    local since = '(' .. stamp(alive_at - given.silence)
    for _, worker in ipairs(call('ZRANGEBYSCORE', key('workers'), since, '+inf')) do
        told[#told + 1] = call('HGET', key('about'), worker)
    end
    return told
end

local function bury(worker)
    call('ZADD', key('workers'), 'XX', 0, worker)
end
