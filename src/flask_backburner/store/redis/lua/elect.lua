-- Hold a role for a while; whoever asks again in time goes on holding it.
in_need()
local role = key('role', given.role)
local holder = call('GET', role)
if holder == given.token then
    call('PEXPIRE', role, given.lease)
    return 1
end
return call('SET', role, given.token, 'NX', 'PX', given.lease) and 1 or 0
