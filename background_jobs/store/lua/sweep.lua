-- ARGV: time, limit, the gap in ms that counts as an outage. Answers the jobs whose deadline was enforced.
local limit, gap = tonumber(ARGV[2]), tonumber(ARGV[3])
local last = tonumber(call('HGET', P .. 'numbers', 'swept_ms') or now)
if now - last > gap then
  resumed = now
  call('HSET', P .. 'numbers', 'resumed_ms', text(now))
end
call('HSET', P .. 'numbers', 'swept_ms', text(now))
wake(limit)
local changed = {}
for _, id in ipairs(due_first(P .. 'deadlines', limit)) do
  local job = load_job(id)
  if not job or not LIVE[job.state] then
    call('ZREM', P .. 'deadlines', id)
  elseif enforce(job) then
    changed[#changed + 1] = dump(job)
  end
end
return changed
