-- ARGV: time, id, kind, tenant, idempotency key or '', its presence, fingerprint, coalesce key, its presence, priority,
-- delay in ms, then the fields of the new job. Answers outcome and job; or conflict and the other id; or full and whose.
local id, kind, tenant = ARGV[2], ARGV[3], ARGV[4]
local idempotency_key = ARGV[6] == '1' and P .. 'idem:' .. #tenant .. ':' .. tenant .. ARGV[5]
local fingerprint = ARGV[7]
local coalesce_key = ARGV[9] == '1' and ARGV[8] or false
local priority, available = tonumber(ARGV[10]), now + tonumber(ARGV[11])

local job = load_job(id)
if job then
  if job.kind ~= kind or job.tenant ~= tenant then return { 'taken', id } end
  return { 'replayed', dump(job) }
end

local function remember(job_id)
  if idempotency_key then
    local keep = OPTIONS.idempotency_ms + tonumber(ARGV[11])
    call('SET', idempotency_key, job_id .. fingerprint, 'PX', text(keep))
  end
end

if idempotency_key then
  local entry = call('GET', idempotency_key)
  local earlier = entry and load_job(string.sub(entry, 1, 36))
  if earlier then
    if string.sub(entry, 37) ~= fingerprint then return { 'conflict', earlier.id } end
    return { 'replayed', dump(earlier) }
  end
end

local function rank_of(of_priority, number)
  return (10 - of_priority) * 2 ^ 45 + number
end

-- A trigger joins only a job that nobody has claimed. It waits no longer than it would have waited by itself.
if coalesce_key then
  local waiting = call('GET', slot_key(kind, tenant, coalesce_key))
  local other = waiting and load_job(waiting)
  if other then
    put(other, 'joined', (other.joined or 0) + 1)
    if priority > tonumber(other.priority) or available < tonumber(other.available_ms) then
      dequeue(other)
      local best = max(priority, tonumber(other.priority))
      put(other, 'priority', best, 'rank', rank_of(best, tonumber(other.number)))
      put(other, 'available_ms', min(available, tonumber(other.available_ms)))
      put(other, 'queued_ms', min(available, tonumber(other.queued_ms)))
      enqueue(other)
    end
    remember(other.id)
    return { 'joined', dump(other) }
  end
end

if tonumber(call('HGET', P .. 'backlog', tenant) or 0) >= OPTIONS.queued_per_tenant then return { 'full', 'tenant' } end
if tonumber(call('HGET', P .. 'numbers', 'backlog') or 0) >= OPTIONS.queued then return { 'full', 'all' } end

local number = call('HINCRBY', P .. 'numbers', 'number', 1)
job = { id = id }
call('DEL', P .. 'events:' .. id)
call('HSET', P .. 'job:' .. id, 'id', id)
put(job, 'kind', kind, 'tenant', tenant, 'coalesce_key', coalesce_key, 'priority', priority, 'number', number)
put(job, 'rank', rank_of(priority, number), 'seq', 0, 'attempt', 1, 'joined', 0, 'created_ms', now)
put(job, unpack(ARGV, 12))
call('ZADD', P .. 'all', text(now), id)
call('ZADD', P .. 'all:' .. tenant, text(now), id)
call('ZADD', P .. 'live', text(now), id)
call('ZADD', P .. 'live:' .. tenant, text(now), id)
enter(job, 'queued')
begin_waiting(job, available)
take_slot(job)
remember(id)
return { 'created', dump(job) }
