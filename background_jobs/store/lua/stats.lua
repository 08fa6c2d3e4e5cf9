-- ARGV: time, how many ms past its deadline a live job counts as stale. Answers everything that metrics show.
local function first_ms(key)
  return tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
end

local ready, delayed = first_ms(P .. 'ready_since'), first_ms(P .. 'delayed')
local oldest = min(ready or now, delayed or now)
local gauges = {}
local flat = call('HGETALL', P .. 'gauges')
for i = 1, #flat, 2 do
  local at, value = string.match(flat[i + 1], '^(%d+) (.*)$')
  if now - at <= OPTIONS.gauge_ms then gauges[#gauges + 1], gauges[#gauges + 2] = flat[i], value end
end
return {
  call('HGETALL', P .. 'depth'),
  text(max(now - oldest, 0)),
  call('HGETALL', P .. 'counters'),
  call('HGETALL', P .. 'histograms'),
  call('ZCOUNT', P .. 'deadlines', '-inf', text(now - ARGV[2])),
  gauges,
}
