-- Slots in flight: one sorted-set member per lease, scored with the time at which it ends by Redis's clock.
local function slots_read(key, quantity)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', format('%.0f', now))
  return quantity - redis.call('ZCARD', key)
end

local function slots_end(key, rank)
  local held = redis.call('ZRANGE', key, rank, rank, 'WITHSCORES')
  return held[2] and tonumber(held[2]) - now or 0
end

local function slots_hold(key, lease, id)
  redis.call('ZADD', key, format('%.0f', now + lease), id)
  redis.call('PEXPIRE', key, ceil(slots_end(key, -1) / 1000))
end

local function slots_has(key, id)
  local ends = redis.call('ZSCORE', key, id)
  return ends and tonumber(ends) > now
end
