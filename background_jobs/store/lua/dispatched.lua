-- ARGV: time, id, attempt, run id. Dagster has the run.
local job, attempt = load_job(ARGV[2]), ARGV[3]
if not is_current(job, attempt) or not WAITS[job.state] then return answer(job, false) end
to_dispatched(job, ARGV[4])
return answer(job, true)
