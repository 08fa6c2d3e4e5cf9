-- ARGV: time, id, attempt, run id, then names and values of what is new. A sign of life in any case; an event if anything
-- differs. Answers whether the attempt is the live one, and whether it is asked to stop.
local job, attempt = load_job(ARGV[2]), ARGV[3]
if not is_current(job, attempt) then
  local is_canceled = job and job.attempt == attempt and job.state == 'canceled'
  return { 0, is_canceled and 1 or 0 }
end
if job.state == 'canceling' then
  put(job, 'heartbeat_ms', now)
else
  advance_to_running(job, ARGV[4])
  put(job, 'heartbeat_ms', now)
  set_deadline(job, running_until(job))
end
local is_new = false
for i = 5, #ARGV, 2 do
  if job[ARGV[i]] ~= ARGV[i + 1] then is_new = true end
end
if is_new then
  put(job, unpack(ARGV, 5))
  emit(job, 'progress')
end
return { 1, job.state == 'canceling' and 1 or 0 }
