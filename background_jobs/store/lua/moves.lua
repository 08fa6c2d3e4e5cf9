-- The steps between states. Each goes through `enter`, which keeps the depth, the deadline's index and the events right.

local function later(job, from, span)
  return tonumber(job[from]) + tonumber(job[span])
end

local function running_until(job)
  local stop = later(job, 'started_ms', 'run_span')
  if tonumber(job.lease_span) == 0 then return stop end
  return min(stop, later(job, 'heartbeat_ms', 'lease_span'))
end

local function set_deadline(job, at)
  put(job, 'deadline_ms', at)
  call('ZADD', P .. 'deadlines', text(at), job.id)
end

local function enter(job, state, ...)
  if job.state then depth(job, job.state, -1) end
  put(job, 'state', state, ...)
  if LIVE[state] then depth(job, state, 1) end
  emit(job, 'state')
end

local function begin_waiting(job, available)
  put(job, 'available_ms', available, 'queued_ms', available)
  set_deadline(job, later(job, 'queued_ms', 'queue_span'))
  backlog(job, 1)
  enqueue(job)
end

local function end_waiting(job)
  dequeue(job)
  backlog(job, -1)
  drop_slot(job)
  put(job, 'claimed_until_ms', false, 'waiting_for', false)
end

local function to_dispatched(job, run_id)
  end_waiting(job)
  hold(job)
  count('attempts|' .. job.kind)
  if job.attempt == '1' then observe('queue_wait', job.kind, now - job.queued_ms) end
  put(job, 'started_ms', false, 'heartbeat_ms', false, 'code', false, 'message', false)
  put(job, 'step', false, 'percent', false, 'counts', false, 'result', false)
  enter(job, 'dispatched', 'dispatched_ms', now, 'run_id', run_id)
  set_deadline(job, now + job.start_span)
end

local function to_running(job)
  enter(job, 'running', 'started_ms', now, 'heartbeat_ms', now)
  set_deadline(job, running_until(job))
end

-- A sign of life can come before the news of what led to it: the steps between are taken here.
local function advance_to_running(job, run_id)
  if WAITS[job.state] then to_dispatched(job, run_id) end
  if job.state == 'dispatched' then to_running(job) end
end

local function to_canceling(job)
  if WAITS[job.state] then end_waiting(job) end
  hold(job)
  enter(job, 'canceling', 'canceling_ms', now)
  set_deadline(job, now + job.cancel_span)
end

local function keep_ended(job, ended)
  call('ZREM', P .. 'deadlines', job.id)
  call('ZREM', P .. 'live', job.id)
  call('ZREM', P .. 'live:' .. job.tenant, job.id)
  call('ZADD', P .. 'ended', text(ended), job.id .. job.tenant)
  call('PEXPIRE', P .. 'job:' .. job.id, text(max(ended + OPTIONS.documents_ms - now, 1)))
  call('PEXPIRE', P .. 'events:' .. job.id, text(max(ended + OPTIONS.events_ms - now, 1)))
end

local function to_ended(job, state, ...)
  if WAITS[job.state] then end_waiting(job) end
  unhold(job)
  enter(job, state, 'ended_ms', now, 'deadline_ms', false, ...)
  count('finished|' .. job.kind .. '|' .. state .. '|' .. (job.code or ''))
  observe('e2e', job.kind, now - job.created_ms)
  if job.started_ms then observe('run', job.kind, now - job.started_ms) end
  keep_ended(job, now)
end

local UNSTARTED = { QUEUE_TIMEOUT = true, DISPATCH_FAILED = true }
local function fail_job(job, code, message, may_retry, run_id)
  if WAITS[job.state] and not UNSTARTED[code] then to_dispatched(job, run_id) end
  local has_more = tonumber(job.attempt) < tonumber(job.max_attempts)
  if may_retry and has_more and (job.state == 'dispatched' or job.state == 'running') then
    unhold(job)
    enter(job, 'retrying', 'attempt', job.attempt + 1, 'code', code, 'message', message, 'heartbeat_ms', false)
    begin_waiting(job, now + job.retry_span)
  else
    to_ended(job, 'failed', 'code', code, 'message', message)
  end
end

-- The fence: a call acts only on the live job's present attempt.
local function is_current(job, attempt)
  return job and LIVE[job.state] and job.attempt == attempt
end

local function lag(job, event_ms)
  if event_ms then observe('status_lag', job.kind, now - event_ms) end
end

-- An ending that came too late. It is kept if it contradicts what is on record for its attempt: a failure, if a later
-- attempt was made. That a run was canceled after its job had been failed by a deadline is no contradiction.
local FORCED = { WORKER_LOST = true, START_TIMEOUT = true, QUEUE_TIMEOUT = true, DEADLINE_EXCEEDED = true }
local function keep_late(job, attempt, state, code)
  if not job then return end
  if job.attempt == attempt then
    if job.state == state or (state == 'canceled' and FORCED[job.code]) then return end
  elseif state ~= 'succeeded' then
    return
  end
  local outcome = attempt .. '|' .. state .. '|' .. (code or '')
  if job.late_outcome and string.sub(job.late_outcome, 1, #outcome + 1) == outcome .. '|' then return end
  put(job, 'late_outcome', outcome .. '|' .. text(now))
  count('late|' .. job.kind)
end

-- Answers of a change: whether it was made, and the job; nothing where there is no such job.
local function answer(job, applied)
  return { applied and 1 or 0, dump(job) }
end
