-- Cancel a queued job, ask the holder of a running one to stop.
in_need()
local one = job.read(given.id)
if one and one.state == 'queued' then
    moves.finish(one, 'cancelled', 'cancel_requested', 1)
elseif one and one.state == 'running' and not one.cancel_requested then
    job.change(one, 'cancel_requested', 1)
    if one.worker then call('SADD', key('asked', one.worker), one.id) end
end
tally.write()
return job.told(given.id)
