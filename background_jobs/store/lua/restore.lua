-- ARGV: time, id, then the fields of a job. Restores it if it is missing, without an event; not an ended one whose document
-- would have expired. If it has a run, its lease begins again.
local id = ARGV[2]
if call('EXISTS', P .. 'job:' .. id) == 1 then return 0 end
local job = { id = id }
for i = 3, #ARGV, 2 do job[ARGV[i]] = ARGV[i + 1] end
if job.ended_ms and tonumber(job.ended_ms) + OPTIONS.documents_ms <= now then return 0 end
call('HSET', P .. 'job:' .. id, 'id', id, unpack(ARGV, 3))
local number = call('HINCRBY', P .. 'numbers', 'number', 1)
put(job, 'number', number, 'rank', (10 - job.priority) * 2 ^ 45 + number)
call('DEL', P .. 'events:' .. id)
call('ZADD', P .. 'all', job.created_ms, id)
call('ZADD', P .. 'all:' .. job.tenant, job.created_ms, id)
if not LIVE[job.state] then
  keep_ended(job, tonumber(job.ended_ms))
  return 1
end
call('ZADD', P .. 'live', job.created_ms, id)
call('ZADD', P .. 'live:' .. job.tenant, job.created_ms, id)
depth(job, job.state, 1)
if WAITS[job.state] then
  put(job, 'claimed_until_ms', false)
  begin_waiting(job, max(tonumber(job.available_ms), now))
  if job.state == 'queued' then take_slot(job) end
  return 1
end
hold(job)
if job.state == 'dispatched' then
  put(job, 'dispatched_ms', now)
  set_deadline(job, now + job.start_span)
elseif job.state == 'running' then
  put(job, 'heartbeat_ms', now, 'started_ms', job.started_ms or now)
  set_deadline(job, running_until(job))
else
  put(job, 'canceling_ms', now)
  set_deadline(job, now + job.cancel_span)
end
return 1
