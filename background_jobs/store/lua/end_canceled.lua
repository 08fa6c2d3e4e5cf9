-- ARGV: time, id, attempt, when Dagster logged it or ''. The run was canceled, here or in Dagster.
local job, attempt = load_job(ARGV[2]), ARGV[3]
if not is_current(job, attempt) then
  keep_late(job, attempt, 'canceled')
  return answer(job, false)
end
to_ended(job, 'canceled', 'code', false)
lag(job, non_empty(ARGV[4]))
return answer(job, true)
