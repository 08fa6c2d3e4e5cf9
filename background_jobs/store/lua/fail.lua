-- ARGV: time, id, attempt, run id, when Dagster logged it or '', code, message, whether it may be retried.
local job, attempt, code = load_job(ARGV[2]), ARGV[3], ARGV[6]
if not is_current(job, attempt) then
  keep_late(job, attempt, 'failed', code)
  return answer(job, false)
end
fail_job(job, code, ARGV[7], ARGV[8] == '1', ARGV[4])
lag(job, non_empty(ARGV[5]))
return answer(job, true)
