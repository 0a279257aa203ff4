-- Give back the jobs that a worker holds here but does not know of: those of a claim whose answer
-- was lost, and those whose end was lost when Redis went back to older data.
in_need()
local known = {}
for _, id in ipairs(given.known) do known[id] = true end
local held = call('SMEMBERS', key('held', given.worker))
for _, id in ipairs(held) do
    local one = not known[id] and job.read(id)
    if one and tonumber(call('HGET', job.key(id), 'turn')) < given.turn then
        moves.release(one, one.began == one.fence)
    end
end
tally.write()
return held
