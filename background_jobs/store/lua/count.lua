-- ARGV: time, a count of others by name and labels, by how much.
call('HINCRBY', P .. 'counters', 'other|' .. ARGV[2], ARGV[3])
return 1
