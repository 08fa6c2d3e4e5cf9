-- ARGV: time, id, attempt, run id, when Dagster logged it or ''. The run has started; news of its dispatch may be on its way.
local job, attempt = load_job(ARGV[2]), ARGV[3]
if not is_current(job, attempt) or job.state == 'running' then return answer(job, false) end
if job.state == 'canceling' then
  if not job.started_ms then put(job, 'started_ms', now, 'heartbeat_ms', now) end
  return answer(job, false)
end
advance_to_running(job, ARGV[4])
lag(job, non_empty(ARGV[5]))
return answer(job, true)
