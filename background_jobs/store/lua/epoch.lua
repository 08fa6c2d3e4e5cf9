-- ARGV: time, a new epoch. Begins it if there is none; answers the one in force.
call('SET', P .. 'epoch', ARGV[2], 'NX')
return call('GET', P .. 'epoch')
