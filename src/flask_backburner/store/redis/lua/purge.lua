-- Forget finished jobs; their ids stay known as forgotten.
in_need()
local function size(id)
    return tonumber(call('HGET', job.key(id), 'bytes') or 0)
end

-- Those that would go first anyhow, as many as take what is too much.
local function surplus()
    local chosen, too_much = {}, tonumber(call('GET', key('bytes')) or 0) - given.keep.bytes
    if too_much <= 0 then return chosen end
    for _, id in ipairs(call('ZRANGE', key('finished'), 0, given.limit - 1)) do
        if too_much <= 0 then break end
        chosen[#chosen + 1] = id
        too_much = too_much - size(id)
    end
    return chosen
end

local function choose()
    if given.id then
        return call('ZSCORE', key('finished'), given.id) and {given.id} or {}
    end
    if given.before then
        return call('ZRANGEBYSCORE', key('ended'), '-inf', '(' .. stamp(given.before),
            'LIMIT', 0, given.limit)
    end
    local past = call('ZRANGEBYSCORE', key('finished'), '-inf', now, 'LIMIT', 0, given.limit)
    return #past > 0 and past or surplus()
end

local function forget(one)
    for _, list in ipairs({'all', 'finished', 'ended'}) do call('ZREM', key(list), one.id) end
    call('ZREM', key('task', one.task), one.id)
    call('ZREM', key('queue', one.queue), one.id)
    if one.owner then call('ZREM', key('owner', one.owner), one.id) end
    if one.alias then call('HDEL', key('aliases'), one.alias) end
    list_as(one, nil)
    tally.bytes = tally.bytes - one.bytes
    call('DEL', job.key(one.id), key('arguments', one.id), key('result', one.id),
        key('saved', one.id), key('files', one.id), key('lines', one.id))
    call('SET', key('gone', one.id), cjson.encode({at = now, owner = one.owner or nil}),
        'EX', given.tombstone)
end

local ids = choose()
for _, id in ipairs(ids) do
    local one = job.read(id)
    if one then forget(one) end
end
tally.write()
return ids
