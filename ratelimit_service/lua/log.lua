-- The sliding log: one sorted-set member per unit, scored with its time. Exact, and as large as the limit.
local function log_read(key, quantity, period)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', format('%.0f', now - period))
  local used = redis.call('ZCARD', key)
  return quantity - used, used
end

-- The time of the unit at `rank`, counted from the oldest (or from the newest, when negative).
local function log_time(key, rank)
  return tonumber(redis.call('ZRANGE', key, rank, rank, 'WITHSCORES')[2])
end

local function log_add(key, period, used, cost)
  local stamp = format('%.0f', now)
  for unit = used, used + cost - 1 do
    redis.call('ZADD', key, stamp, format('%s:%08d', stamp, unit))
  end
  redis.call('PEXPIRE', key, ceil(period / 1000))
end
