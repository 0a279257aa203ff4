-- Give up a role, if it is held.
in_need()
local role = key('role', given.role)
if call('GET', role) == given.token then call('DEL', role) end
return 0
