-- ARGV: time, name, value. Shown until it is older than a gauge may be.
call('HSET', P .. 'gauges', ARGV[2], text(now) .. ' ' .. ARGV[3])
return 1
