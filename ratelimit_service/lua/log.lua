-- The sliding log: one sorted-set member per charge, scored with its time. A member is 7 bytes of the running total after
-- its charge and 3 of its units. No charge is dated before the newest one, so members are in the order of their totals:
-- the units in the period are a difference of two totals, and the member that holds a unit is found by halving.
local function log_member(key, rank)
  local member = redis.call('ZRANGE', key, rank, rank, 'WITHSCORES')
  if not member[1] then return end
  local total, units = unpack_struct('>I7I3', member[1])
  return total, units, tonumber(member[2])
end

local function log_read(l)
  redis.call('ZREMRANGEBYSCORE', l.key, '-inf', format('%.0f', now - l.period))
  local total, units = log_member(l.key, 0)
  l.before, l.total, l.newest = 0, 0, now
  if total then
    l.before = total - units
    l.total, units, l.newest = log_member(l.key, -1)
  end
  l.used = l.total - l.before
  return l.quantity - l.used
end

local function log_add(l, cost)
  l.newest, l.total, l.used = max(l.newest, now), l.total + cost, l.used + cost
  redis.call('ZADD', l.key, format('%.0f', l.newest), pack('>I7I3', l.total, cost))
  redis.call('PEXPIRE', l.key, ceil((l.newest + l.period - now) / 1000))
end

-- The rank of the member that holds a unit; the oldest unit is 1.
local function log_rank(l, unit)
  local low, high = 0, redis.call('ZCARD', l.key) - 1
  while low < high do
    local middle = floor((low + high) / 2)
    if log_member(l.key, middle) - l.before >= unit then high = middle else low = middle + 1 end
  end
  return low
end

local function log_time(l, unit)
  local _, _, time = log_member(l.key, log_rank(l, unit))
  return time
end

-- Remove the newest units. A member of which a part stays is replaced before the others go, or the key would lose its TTL.
local function log_remove(l, units)
  local rank = log_rank(l, l.used - units + 1)
  local total, charged, time = log_member(l.key, rank)
  local rest = charged - (units - (l.total - total))
  if rest > 0 then
    redis.call('ZADD', l.key, format('%.0f', time), pack('>I7I3', total - charged + rest, rest))
    rank = rank + 1
  end
  redis.call('ZREMRANGEBYRANK', l.key, rank, -1)
end
