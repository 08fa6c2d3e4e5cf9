-- ARGV: time. Answers the ids of the feed's first and last entry.
local first, last = call('XRANGE', P .. 'feed', '-', '+', 'COUNT', 1), call('XREVRANGE', P .. 'feed', '+', '-', 'COUNT', 1)
return { first[1] and first[1][1] or '0-0', last[1] and last[1][1] or '0-0' }
