-- ARGV: time, id, the attempt that failed, run id. Dagster itself made the next attempt's run; a claimed one is ours.
local job, attempt = load_job(ARGV[2]), tonumber(ARGV[3])
local is_next = job and job.state == 'retrying' and tonumber(job.attempt) == attempt + 1
if not is_next or tonumber(job.claimed_until_ms or 0) > now then return answer(job, false) end
to_dispatched(job, ARGV[4])
return answer(job, true)
