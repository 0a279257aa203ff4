-- Give up a role, if it is held.
local role = key('role', given.role)
if call('GET', role) == given.token then call('DEL', role) end
return 0
