-- Note that a job's function is about to be called, if the worker still holds the job.
in_need()
local state, fence, worker = unpack(call('HMGET', job.key(given.id), 'state', 'fence', 'worker'))
if state ~= 'running' or tonumber(fence) ~= given.fence or worker ~= given.worker then return 0 end
call('HSET', job.key(given.id), 'began', given.fence)
return 1
