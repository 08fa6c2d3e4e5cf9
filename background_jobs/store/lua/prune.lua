-- ARGV: time. Removes from the lists the jobs whose documents have had their time. Answers how many.
local AT_MOST = 1000
local old = call('ZRANGEBYSCORE', P .. 'ended', '-inf', text(now - OPTIONS.documents_ms), 'LIMIT', 0, AT_MOST)
for _, member in ipairs(old) do
  local id, tenant = string.sub(member, 1, 36), string.sub(member, 37)
  call('ZREM', P .. 'all', id)
  call('ZREM', P .. 'all:' .. tenant, id)
  call('DEL', P .. 'job:' .. id, P .. 'events:' .. id)
  call('ZREM', P .. 'ended', member)
end
return #old
