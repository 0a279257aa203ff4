-- Record what happened, then claim what there is room for.
in_need()
math.randomseed(given.seed)

local refused = {{}, {}}
for n, news in ipairs(given.reports) do
    if not report(news) then table.insert(refused[1], n - 1) end
end
for n, ending in ipairs(given.settled) do
    if not settle(ending) then table.insert(refused[2], n - 1) end
end

local claimed, asked = {}, {}
if given.worker then
    claimed = claim()
    asked = call('SMEMBERS', key('asked', given.worker))
    -- Who was taken for dead and claims is alive.
    if #claimed > 0 and not call('ZSCORE', key('workers'), given.worker) then enlist(given) end
end
tally.write()
return {refused[1], refused[2], claimed, asked}
