-- News of a running job.

-- Where an external job is, of which several may speak: what is left out stays, and the count
-- never falls but together with another total, which begins to count anew.
local function upon(progress, one)
    local current, total, message, phase = unpack(
        call('HMGET', job.key(one.id), 'current', 'total', 'message', 'phase'))
    local anew = progress.total and tonumber(progress.total) ~= tonumber(total or nil)
    local count = progress.current
    if not anew and current and (not count or tonumber(count) < tonumber(current)) then
        count = current
    end
    return {
        current = count,
        total = progress.total or total,
        message = progress.message or message,
        phase = progress.phase or phase,
    }
end

local function write_progress(one, progress)
    if one.external then progress = upon(progress, one) end
    local fields = {}
    for _, name in ipairs({'current', 'total', 'message', 'phase'}) do
        if progress[name] then
            fields[#fields + 1] = name
            fields[#fields + 1] = progress[name]
        end
    end
    job.clear(one, 'current', 'total', 'message', 'phase')
    job.change(one, 'progressed_at', stamp(now), unpack(fields))
end

local function write_lines(one, lines)
    local kept, bytes = key('lines', one.id), 0
    for _, text in ipairs(lines) do
        call('RPUSH', kept, text)
        bytes = bytes + #text
    end
    local surplus = call('LLEN', kept) - LINES_KEPT
    if surplus > 0 then
        for _, text in ipairs(call('LRANGE', kept, 0, surplus - 1)) do bytes = bytes - #text end
        call('LTRIM', kept, surplus, -1)
    end
    one.last_line = one.last_line + #lines
    job.write(one, 'last_line', one.last_line)
    tally.weigh(one, bytes)
end

local function write_files(one, files)
    local kept = key('files', one.id)
    for _, file in ipairs(files) do
        local before = call('HGET', kept, file.name)
        local size = before and cjson.decode(before)[2] or 0
        call('HSET', kept, file.name, file.told)
        tally.weigh(one, file.size - size)
    end
    job.change(one, 'files', call('HLEN', kept))
end

local function write_saved(one, saved)
    local kept = key('saved', one.id)
    for _, entry in ipairs(saved) do
        local bytes = -#(call('HGET', kept, entry.key) or '')
        if entry.data then
            call('HSET', kept, entry.key, data(entry.data))
            bytes = bytes + #data(entry.data)
        else
            call('HDEL', kept, entry.key)
        end
        tally.weigh(one, bytes)
    end
end

-- Whether whoever reports may speak for the job.
local function report(news)
    local one = moves.held(news.id, news.fence)
    if not one then return false end
    if news.progress then write_progress(one, news.progress) end
    if news.lines then write_lines(one, news.lines) end
    if news.files then write_files(one, news.files) end
    if news.saved then write_saved(one, news.saved) end
    if news.overdue then job.change(one, 'overdue', 1) end
    return true
end
