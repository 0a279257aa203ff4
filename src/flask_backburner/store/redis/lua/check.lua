-- Whether a job could be written.
call('SET', key('checked_at'), stamp(now))
return 0
