-- GCRA, the generic cell rate algorithm (ITU-T I.371, also "leaky bucket as a meter"). The whole state is one integer:
-- the theoretical arrival time (TAT) in microseconds. quantity is the burst, interval the microseconds per unit.
local function gcra_read(key, quantity, interval)
  local tat = tonumber(redis.call('GET', key) or now)
  if tat < now then tat = now end
  return floor((now - tat) / interval) + quantity, tat
end

local function gcra_write(key, tat)
  if tat > now then
    redis.call('SET', key, format('%.0f', tat), 'PX', ceil((tat - now) / 1000))
  else
    redis.call('DEL', key)
  end
end

local function gcra_wait(tat, quantity, interval, cost)
  return tat + (cost - quantity) * interval - now
end
