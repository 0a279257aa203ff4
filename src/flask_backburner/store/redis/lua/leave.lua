-- A worker is no more: what it holds is left to the next rescue.
in_need()
bury(given.worker)
if call('EXISTS', key('held', given.worker)) == 0 then
    call('ZREM', key('workers'), given.worker)
    call('HDEL', key('about'), given.worker)
end
return 0
