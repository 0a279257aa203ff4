-- Add jobs, all or none.
local jobs = given.jobs
local created_at = stamp(now)

-- Asked again because the answer was lost: it is done already.
local already = jobs[1] and call('HGET', job.key(jobs[1].id), 'created_at')
if already then return {'added', already} end

local queued = call('ZCARD', key('state', 'queued'))
if queued + #jobs > given.limit then return {'full', queued} end

local seen = {}
for _, new in ipairs(jobs) do
    if new.alias then
        if seen[new.alias] or call('HEXISTS', key('aliases'), new.alias) == 1 then
            return {'taken', new.alias}
        end
        seen[new.alias] = true
    end
end

local last = call('INCRBY', key('seq'), #jobs) - #jobs

local function write(new, seq)
    local fields = {
        'seq', seq, 'task', new.task, 'queue', new.queue, 'priority', new.priority,
        'state', 'queued', 'version', 1, 'created_at', created_at, 'updated_at', created_at,
        'run_at', new.run_at and stamp(new.run_at) or created_at,
        'retries', new.retries, 'rescues', new.rescues,
    }
    for _, name in ipairs({'owner', 'alias', 'external', 'deadline'}) do
        if new[name] then
            fields[#fields + 1] = name
            fields[#fields + 1] = new[name]
        end
    end
    if new.start_by then
        fields[#fields + 1] = 'start_by'
        fields[#fields + 1] = stamp(new.start_by)
    end
    call('HSET', job.key(new.id), unpack(fields))
end

local function list(new, seq)
    call('ZADD', key('all'), seq, new.id)
    call('ZADD', key('task', new.task), seq, new.id)
    call('ZADD', key('queue', new.queue), seq, new.id)
    if new.owner then call('ZADD', key('owner', new.owner), seq, new.id) end
    if new.alias then call('HSET', key('aliases'), new.alias, new.id) end
    if new.start_by then call('ZADD', key('expiring'), stamp(new.start_by), new.id) end
    if new.deadline then call('ZADD', key('silent'), now + new.deadline, new.id) end
end

for n, new in ipairs(jobs) do
    local seq = last + n
    write(new, seq)
    list(new, seq)
    local one = {
        id = new.id, seq = seq, task = new.task, queue = new.queue, priority = new.priority,
        external = new.external, crashes = 0, created_at = created_at,
        run_at = new.run_at or created_at,
    }
    list_as(one, 'queued')
    line.wait(one)
    local bytes = JOB_BYTES
    if new.data then
        call('SET', key('arguments', new.id), data(new.data))
        bytes = bytes + #data(new.data)
    end
    tally.weigh(one, bytes)
end
tally.write()
return {'added', created_at}
