-- ARGV: time, id, attempt, run id, when Dagster logged it or '', result or ''.
local job, attempt = load_job(ARGV[2]), ARGV[3]
if not is_current(job, attempt) then
  keep_late(job, attempt, 'succeeded')
  return answer(job, false)
end
if job.state ~= 'canceling' then advance_to_running(job, ARGV[4]) end
to_ended(job, 'succeeded', 'percent', '100', 'code', false, 'result', non_empty(ARGV[6]) or job.result or false)
lag(job, non_empty(ARGV[5]))
return answer(job, true)
