-- Where the jobs of one app lie: all its keys begin alike, so that they share a hash slot.
local space = KEYS[1]
local call = redis.call

local function key(...)
    return space .. ':' .. table.concat({...}, ':')
end

-- What the caller says, as JSON; data that is no text follows it in ARGV.
local given = cjson.decode(ARGV[2])

local function data(number)
    return ARGV[number + 2]
end

-- The store's time, which a test may set; and Redis's own, by which workers live and die.
local time = call('TIME')
local alive_at = tonumber(time[1]) + tonumber(time[2]) / 1000000

local function stamp(seconds)
    return string.format('%.6f', seconds)
end

local now = tonumber(stamp(ARGV[1] == '' and alive_at or ARGV[1]))

-- Redis with its memory full refuses a script at the first write that takes more, but none that
-- has written before. Only what adds jobs shall be refused: others must end, and workers live.
local function in_need()
    call('DEL', key('nothing'))
end
