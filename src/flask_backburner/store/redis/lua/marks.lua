-- What watchers compare; nothing for a job that is not there.
local marks = {}
for n, id in ipairs(given.ids) do
    marks[n] = call('HMGET', key('job', id), 'version', 'last_line', 'state')
end
return marks
