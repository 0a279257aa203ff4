-- Show that a worker is alive; gives back whether it holds as many jobs as it knows of.
in_need()
enlist(given)
for _, role in ipairs(given.roles) do
    if call('GET', key('role', role)) == given.token then
        call('PEXPIRE', key('role', role), given.lease)
    end
end
return call('SCARD', key('held', given.worker)) == given.known and 1 or 0
