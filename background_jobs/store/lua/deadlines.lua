-- What a live job's deadline is, and what happens at it. After an outage (`resumed`), leases begin again.
local resumed = tonumber(call('HGET', P .. 'numbers', 'resumed_ms') or 0)

local function time_limit(job)
  if WAITS[job.state] then
    return max(tonumber(job.deadline_ms), tonumber(job.claimed_until_ms or 0)), 'QUEUE_TIMEOUT'
  end
  if job.state == 'dispatched' then
    return max(tonumber(job.dispatched_ms), resumed) + job.start_span, 'START_TIMEOUT'
  end
  if job.state == 'canceling' then return max(tonumber(job.canceling_ms), resumed) + job.cancel_span, 'CANCEL' end
  local stop = later(job, 'started_ms', 'run_span')
  local lease = max(tonumber(job.heartbeat_ms), resumed) + job.lease_span
  if tonumber(job.lease_span) == 0 or stop <= lease then return stop, 'DEADLINE_EXCEEDED' end
  return lease, 'WORKER_LOST'
end

local function seconds(ms)
  return format('%.0f s', math.ceil(tonumber(ms) / 1000))
end

local function late_message(job, code)
  if code == 'QUEUE_TIMEOUT' then
    local reason = job.waiting_for or call('GET', P .. 'waiting')
    return 'not started within ' .. seconds(job.queue_span) .. (reason and ('; it waited for: ' .. reason) or '')
  end
  if code == 'START_TIMEOUT' then return 'its run did not start within ' .. seconds(job.start_span) end
  if code == 'WORKER_LOST' then return 'no sign of life from its run for ' .. seconds(job.lease_span) end
  return 'not done within ' .. seconds(job.run_span)
end

-- Ends, or retries, a job whose time is over. False if it has time left.
local function enforce(job)
  local at, code = time_limit(job)
  if at > now then
    call('ZADD', P .. 'deadlines', text(at), job.id)
    return false
  end
  count('forced|' .. code)
  if code == 'CANCEL' then
    to_ended(job, 'canceled', 'message', 'canceled; its run did not confirm it within ' .. seconds(job.cancel_span))
  else
    fail_job(job, code, late_message(job, code), code == 'WORKER_LOST' or code == 'START_TIMEOUT')
  end
  return true
end
