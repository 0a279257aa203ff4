-- Claim no more jobs of a queue, or claim them again.
in_need()
call(given.on and 'SADD' or 'SREM', key('paused'), given.queue)
return 0
