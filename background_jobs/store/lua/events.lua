-- ARGV: time, id, the last number seen, limit. Answers the entries of the job's stream after it.
return call('XRANGE', P .. 'events:' .. ARGV[2], '(' .. ARGV[3] .. '-0', '+', 'COUNT', ARGV[4])
