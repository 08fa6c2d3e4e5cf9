-- Slots in flight. The first one held is one integer of 19 digits, which Redis keeps without a string: 4 digits of the
-- tick on which its lease ends (1000 + number % 8192), 15 of its id. With a second one the key becomes a sorted set, a
-- member per lease, scored with its end, until none is left. A tick is 1/2048 of the lease, and leases end on ticks: the
-- number tells what has ended, up to a lease ago (then the key is gone), from what lasts, up to three leases ahead
-- (a failover to a slower clock).
local function slots_tick(lease)
  return ceil(lease / 2048)
end

local function slots_digits(id)
  return format('%015.0f', unpack_struct('>I6', id))
end

local function slots_read(l)
  l.one, l.held = nil, 0
  local kind = redis.call('TYPE', l.key).ok
  if kind == 'string' then
    local stored, tick = redis.call('GET', l.key), slots_tick(l.period)
    local reached = floor(now / tick)
    local ahead = (tonumber(sub(stored, 1, 4)) - 1000 - reached) % 8192
    if ahead > 0 and ahead <= 6144 then
      l.one, l.ends, l.held = sub(stored, 5), (reached + ahead) * tick, 1
    end
  elseif kind == 'zset' then
    redis.call('ZREMRANGEBYSCORE', l.key, '-inf', format('%.0f', now))
    l.held = redis.call('ZCARD', l.key)
  end
  return l.quantity - l.held
end

-- How long until the lease at `rank` ends: 0 is the first to end, -1 the last.
local function slots_end(l, rank)
  if l.held == 0 then return 0 end
  if l.one then return l.ends - now end
  return tonumber(redis.call('ZRANGE', l.key, rank, rank, 'WITHSCORES')[2]) - now
end

local function slots_has(l, id)
  if l.one then return l.one == slots_digits(id) end
  return l.held > 0 and redis.call('ZSCORE', l.key, id)
end

-- Takes the slot or renews it; what is there has been read.
local function slots_hold(l, id)
  local tick, digits = slots_tick(l.period), slots_digits(id)
  local ends = floor((now + l.period) / tick) * tick
  if l.held == 0 or l.one == digits then
    redis.call('SET', l.key, format('%d%s', 1000 + ends / tick % 8192, digits), 'PX', ceil((ends - now) / 1000))
    l.one, l.ends, l.held = digits, ends, 1
    return
  end
  if l.one then
    redis.call('DEL', l.key)
    redis.call('ZADD', l.key, format('%.0f', l.ends), pack('>I6', tonumber(l.one)))
    l.one = nil
  end
  l.held = l.held + redis.call('ZADD', l.key, format('%.0f', ends), id)
  redis.call('PEXPIRE', l.key, ceil(slots_end(l, -1) / 1000))
end

local function slots_release(l, id)
  if l.one then
    if l.one == slots_digits(id) then redis.call('DEL', l.key) end
  elseif l.held > 0 then
    redis.call('ZREM', l.key, id)
  end
end
