-- Fixed windows and the sliding window counter share one state: this window's count and the one before.
-- It is stored as one integer of 18 digits, which Redis keeps without a string: 2 digits of the window's number
-- (10 + number % 80, so never a leading zero), 8 of this window's count, 8 of the previous one's.
local function window_read(key, quantity, period, is_sliding)
  local elapsed = now % period
  local tag, current, previous = (now - elapsed) / period % 80 + 10, 0, 0
  local stored = redis.call('GET', key)
  if stored then
    local stored_tag, count = tonumber(sub(stored, 1, 2)), tonumber(sub(stored, 3, 10))
    local age = (tag - stored_tag) % 80
    if age == 0 then
      current, previous = count, tonumber(sub(stored, 11, 18))
    elseif age == 1 then
      previous = count
    elseif age >= 40 then
      -- The clock went back (a failover to a slower one): stay at the start of the newer window.
      tag, elapsed, current, previous = stored_tag, 0, count, tonumber(sub(stored, 11, 18))
    end
  end
  local carried = is_sliding and ceil(previous * (period - elapsed) / period) or 0
  return quantity - current - carried, current, previous, tag, elapsed
end

local function window_write(key, period, is_sliding, current, previous, tag, elapsed)
  local life = (is_sliding and 2 or 1) * period - elapsed
  redis.call('SET', key, format('%d%08d%08d', tag, current, previous), 'PX', ceil(life / 1000))
end

-- How long until the window that begins to slide out leaves room for `cost`; `full` is its count.
local function window_slide(full, period, room)
  if full <= room then return 0 end
  return ceil(period - room * period / full)
end

local function window_wait(quantity, period, is_sliding, current, previous, elapsed, cost)
  local room = quantity - current - cost
  if not is_sliding then return period - elapsed end
  if room >= 0 then
    return max(window_slide(previous, period, room) - elapsed, 1)
  end
  return period - elapsed + window_slide(current, period, quantity - cost)
end

local function window_reset(period, is_sliding, current, previous, elapsed)
  if current > 0 then return (is_sliding and 2 or 1) * period - elapsed end
  if is_sliding and previous > 0 then return period - elapsed end
  return 0
end
