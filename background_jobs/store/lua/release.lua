-- ARGV: time, id, attempt, what it waits for, delay in ms. Back to the queue, in its old place; it was not launched, so
-- triggers may join it again.
local job, attempt = load_job(ARGV[2]), ARGV[3]
if not is_current(job, attempt) or not WAITS[job.state] then return answer(job, false) end
dequeue(job)
unhold(job)
put(job, 'claimed_until_ms', false, 'waiting_for', ARGV[4], 'available_ms', now + tonumber(ARGV[5]))
enqueue(job)
if job.state == 'queued' then take_slot(job) end
return answer(job, true)
