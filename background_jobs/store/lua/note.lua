-- ARGV: time, name of a single value, then perhaps its new text ('' removes it). Answers it, or nothing.
local key = P .. ARGV[2]
if ARGV[3] == '' then
  call('DEL', key)
elseif ARGV[3] then
  call('SET', key, ARGV[3])
end
return call('GET', key)
