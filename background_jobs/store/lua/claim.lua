-- ARGV: time, limit, lease in ms, cap per tenant, then kind and its cap, … . Round robin over tenants; within a tenant by
-- priority and age, passing over kinds that are at their cap. Answers the claimed jobs.
local WOKEN_AT_MOST = 1000
local limit, lease, tenant_cap = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
wake(WOKEN_AT_MOST)
local room = {}
for i = 5, #ARGV, 2 do
  room[ARGV[i]] = tonumber(ARGV[i + 1]) - call('SCARD', P .. 'flying:kind:' .. ARGV[i])
end

-- The best ready job of a tenant; what is gone, or has waited too long, is cleared away on the way.
local function best_of(tenant)
  while true do
    local best_id, best_rank, best_kind
    for _, kind in ipairs(call('SMEMBERS', P .. 'ready_kinds:' .. tenant)) do
      if not room[kind] or room[kind] > 0 then
        local head = call('ZRANGE', ready_key(kind, tenant), 0, 0, 'WITHSCORES')
        local rank = tonumber(head[2])
        if rank and (not best_rank or rank < best_rank) then
          best_id, best_rank, best_kind = head[1], rank, kind
        end
      end
    end
    if not best_id then return nil end
    local job = load_job(best_id)
    if not job then
      drop_ready(best_kind, tenant, best_id)
    elseif tonumber(job.deadline_ms) > now or not enforce(job) then
      return job
    end
  end
end

local function claim_of(tenant)
  if call('SCARD', P .. 'flying:tenant:' .. tenant) >= tenant_cap then return nil end
  local job = best_of(tenant)
  if not job then return nil end
  dequeue(job)
  drop_slot(job)
  hold(job)
  put(job, 'claimed_until_ms', now + lease)
  call('ZADD', P .. 'claimed', job.claimed_until_ms, job.id)
  if room[job.kind] then room[job.kind] = room[job.kind] - 1 end
  if call('ZSCORE', P .. 'turns', tenant) then call('ZADD', P .. 'turns', take_turn(), tenant) end
  return dump(job)
end

local claims, tenants = {}, call('ZRANGE', P .. 'turns', 0, -1)
while #tenants > 0 and #claims < limit do
  local served = {}
  for _, tenant in ipairs(tenants) do
    local claim = claim_of(tenant)
    if claim then
      claims[#claims + 1], served[#served + 1] = claim, tenant
      if #claims == limit then break end
    end
  end
  tenants = served
end
return claims
