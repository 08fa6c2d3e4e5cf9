-- Waiting jobs. Each is in exactly one of: delayed (until its time), ready (by tenant and kind, best rank first, with
-- ready_since for its age), claimed. `turns` has the tenants with ready jobs, longest unserved first.

local function ready_key(kind, tenant)
  return P .. 'ready:' .. kind .. ':' .. tenant
end

local function take_turn(tenant)
  return text(call('HINCRBY', P .. 'numbers', 'turn', 1))
end

local function make_ready(job)
  call('ZADD', ready_key(job.kind, job.tenant), job.rank, job.id)
  call('ZADD', P .. 'ready_since', job.queued_ms, job.id)
  call('SADD', P .. 'ready_kinds:' .. job.tenant, job.kind)
  if not call('ZSCORE', P .. 'turns', job.tenant) then
    call('ZADD', P .. 'turns', take_turn(), job.tenant)
  end
end

local function enqueue(job)
  if tonumber(job.available_ms) > now then
    call('ZADD', P .. 'delayed', job.available_ms, job.id)
  else
    make_ready(job)
  end
end

local function drop_ready(kind, tenant, id)
  local key = ready_key(kind, tenant)
  call('ZREM', P .. 'ready_since', id)
  if call('ZREM', key, id) == 1 and call('EXISTS', key) == 0 then
    call('SREM', P .. 'ready_kinds:' .. tenant, kind)
    if call('EXISTS', P .. 'ready_kinds:' .. tenant) == 0 then call('ZREM', P .. 'turns', tenant) end
  end
end

local function dequeue(job)
  call('ZREM', P .. 'delayed', job.id)
  call('ZREM', P .. 'claimed', job.id)
  drop_ready(job.kind, job.tenant, job.id)
end

-- In flight: claimed, dispatched, running or canceling. Counted against the caps.
local function hold(job)
  call('SADD', P .. 'flying:tenant:' .. job.tenant, job.id)
  call('SADD', P .. 'flying:kind:' .. job.kind, job.id)
end

local function unhold(job)
  call('SREM', P .. 'flying:tenant:' .. job.tenant, job.id)
  call('SREM', P .. 'flying:kind:' .. job.kind, job.id)
end

-- The coalescing slot: which job the next trigger with the same key joins.
local function slot_key(kind, tenant, key)
  return P .. 'joins:' .. kind .. ':' .. #tenant .. ':' .. tenant .. key
end

local function take_slot(job)
  if job.coalesce_key then call('SET', slot_key(job.kind, job.tenant, job.coalesce_key), job.id, 'NX') end
end

local function drop_slot(job)
  if not job.coalesce_key then return end
  local key = slot_key(job.kind, job.tenant, job.coalesce_key)
  if call('GET', key) == job.id then call('DEL', key) end
end

local function backlog(job, by)
  if call('HINCRBY', P .. 'backlog', job.tenant, by) == 0 then call('HDEL', P .. 'backlog', job.tenant) end
  call('HINCRBY', P .. 'numbers', 'backlog', by)
end

local function due_first(key, limit)
  return call('ZRANGEBYSCORE', key, '-inf', text(now), 'LIMIT', 0, limit)
end

-- Brings delayed jobs whose time has come, and claims that lapsed, back among the ready. A lapsed claim does not get
-- its coalescing slot back: its run may have been launched.
local function wake(limit)
  for _, id in ipairs(due_first(P .. 'delayed', limit)) do
    call('ZREM', P .. 'delayed', id)
    local job = load_job(id)
    if job then make_ready(job) end
  end
  for _, id in ipairs(due_first(P .. 'claimed', limit)) do
    call('ZREM', P .. 'claimed', id)
    local job = load_job(id)
    if job then
      unhold(job)
      put(job, 'claimed_until_ms', false)
      enqueue(job)
    end
  end
end
