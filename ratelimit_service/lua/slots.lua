-- Slots in flight. A single slot is one integer of 19 digits, which Redis stores without a string: 4 digits of the tick
-- on which its lease ends (1000 + number % 8192), 15 of its id. With a second slot the key becomes a sorted set, a member
-- per lease, scored with its end, until none is left. A tick is 1/2048 of the lease, and leases end on ticks: the number
-- tells a lease that has ended, up to a lease ago (then the key is gone), from one that ends up to three leases ahead
-- (a failover to a slower clock).
local function slots_tick(lease)
  return ceil(lease / 2048)
end

local function slots_digits(id)
  return format('%015.0f', unpack_struct('>I6', id))
end

local function slots_read(l)
  l.single, l.count = nil, 0
  local kind = redis.call('TYPE', l.key).ok
  if kind == 'string' then
    local stored, tick = redis.call('GET', l.key), slots_tick(l.period)
    local tick_now = floor(now / tick)
    local ahead = (tonumber(sub(stored, 1, 4)) - 1000 - tick_now) % 8192
    if ahead > 0 and ahead <= 6144 then
      l.single, l.ends, l.count = sub(stored, 5), (tick_now + ahead) * tick, 1
    end
  elseif kind == 'zset' then
    redis.call('ZREMRANGEBYSCORE', l.key, '-inf', format('%.0f', now))
    l.count = redis.call('ZCARD', l.key)
  end
  return l.quantity - l.count
end

-- How long until the lease at `rank` ends: 0 is the first to end, -1 the last.
local function slots_end(l, rank)
  if l.count == 0 then return 0 end
  if l.single then return l.ends - now end
  return tonumber(redis.call('ZRANGE', l.key, rank, rank, 'WITHSCORES')[2]) - now
end

local function slots_has(l, id)
  if l.single then return l.single == slots_digits(id) end
  return l.count > 0 and redis.call('ZSCORE', l.key, id)
end

-- Take or renew a slot, after slots_read.
local function slots_hold(l, id)
  local tick, digits = slots_tick(l.period), slots_digits(id)
  local ends = floor((now + l.period) / tick) * tick
  if l.count == 0 or l.single == digits then
    redis.call('SET', l.key, format('%d%s', 1000 + ends / tick % 8192, digits), 'PX', ceil((ends - now) / 1000))
    l.single, l.ends, l.count = digits, ends, 1
    return
  end
  if l.single then
    redis.call('DEL', l.key)
    redis.call('ZADD', l.key, format('%.0f', l.ends), pack('>I6', tonumber(l.single)))
    l.single = nil
  end
  l.count = l.count + redis.call('ZADD', l.key, format('%.0f', ends), id)
  redis.call('PEXPIRE', l.key, ceil(slots_end(l, -1) / 1000))
end

local function slots_release(l, id)
  if l.single then
    if l.single == slots_digits(id) then redis.call('DEL', l.key) end
  elseif l.count > 0 then
    redis.call('ZREM', l.key, id)
  end
end
