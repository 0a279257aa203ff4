-- Put back a failed or cancelled job; gives back whether it could be.
in_need()
local one = job.read(given.id)
local ended = one and (one.state == 'failed' or one.state == 'cancelled')
if not ended or one.external or tonumber(one.kept_until) <= now then
    return {0, job.told(given.id)}
end
call('ZREM', key('finished'), one.id)
call('ZREM', key('ended'), one.id)
job.clear(one, 'finished_at', 'kept_until', 'cancel_requested', 'start_by', 'fault')
one.start_by, one.failures, one.crashes = false, 0, 0
moves.requeue(one, 0)
tally.write()
return {1, job.told(given.id)}
