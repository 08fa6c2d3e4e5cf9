-- Decide any number of requests, in order. Each ARGV is one request; its limits' keys are the next KEYS:
--   op, number of limits, cost, minimum, (algorithm, quantity, period) per limit, then an id if op needs one.
-- An ARGV of op 255 sets the time for the requests after it (tests, replays); else it is Redis' own, in microseconds.
-- Each request's reply is granted (-1: refused), then (remaining, reset, wait) per limit; all big-endian doubles.
local CHECK, PEEK, TAKE, REFUND, RESET, RENEW, RELEASE, SET_TIME = 0, 1, 2, 3, 4, 5, 6, 255
local GCRA, SLIDING, FIXED, LOG, SLOTS = 1, 2, 3, 4, 5

local function read(l)
  if l.algorithm == GCRA then
    l.room, l.tat = gcra_read(l.key, l.quantity, l.period)
  elseif l.algorithm == LOG then
    l.room = log_read(l)
  elseif l.algorithm == SLOTS then
    l.room = slots_read(l)
  else
    l.sliding = l.algorithm == SLIDING
    l.room, l.current, l.previous, l.tag, l.elapsed = window_read(l.key, l.quantity, l.period, l.sliding)
  end
end

local function charge(l, cost, id)
  if l.algorithm == GCRA then
    l.tat = l.tat + cost * l.period
    gcra_write(l.key, l.tat)
    l.room = floor((now - l.tat) / l.period) + l.quantity
  elseif l.algorithm == LOG then
    log_add(l, cost)
    l.room = l.room - cost
  elseif l.algorithm == SLOTS then
    slots_hold(l, id)
    l.room = l.room - 1
  else
    l.current = l.current + cost
    window_write(l.key, l.period, l.sliding, l.current, l.previous, l.tag, l.elapsed)
    l.room = l.room - cost
  end
end

-- Refund at most the units in use, newest first; return their number.
local function refund(l, cost)
  local back = 0
  if l.algorithm == GCRA then
    back = min(cost, ceil((l.tat - now) / l.period))
    l.tat = max(l.tat - back * l.period, now)
    gcra_write(l.key, l.tat)
  elseif l.algorithm == LOG then
    back = min(cost, l.used)
    if back > 0 then log_remove(l, back) end
  elseif l.algorithm ~= SLOTS then
    local from_current = min(cost, l.current)
    local from_previous = l.sliding and min(cost - from_current, l.previous) or 0
    l.current, l.previous = l.current - from_current, l.previous - from_previous
    back = from_current + from_previous
    if back > 0 then window_write(l.key, l.period, l.sliding, l.current, l.previous, l.tag, l.elapsed) end
  end
  if back > 0 then read(l) end
  return back
end

local function reset_in(l)
  if l.algorithm == GCRA then return l.tat - now end
  if l.algorithm == LOG then return l.used > 0 and l.newest + l.period - now or 0 end
  if l.algorithm == SLOTS then return slots_end(l, -1) end
  return window_reset(l.period, l.sliding, l.current, l.previous, l.elapsed)
end

local function wait_for(l, cost)
  if l.algorithm == SLOTS then return slots_end(l, 0) end
  if cost > l.quantity then return -1 end
  if l.algorithm == GCRA then return gcra_wait(l.tat, l.quantity, l.period, cost) end
  if l.algorithm == LOG then return log_time(l, l.used + cost - l.quantity) + l.period - now end
  return window_wait(l.quantity, l.period, l.sliding, l.current, l.previous, l.elapsed, cost)
end

-- The units that a limit must have: a request takes one slot, whatever its cost.
local function required(l, cost)
  return l.algorithm == SLOTS and cost > 0 and 1 or cost
end

local function decide(op, limits, cost, minimum, id)
  local grant = cost
  for _, l in ipairs(limits) do
    read(l)
    local units = required(l, cost)
    if l.room < units and units > 0 then
      grant = (op == TAKE and l.room >= minimum) and min(grant, l.room) or -1
      if grant < 0 then break end
    end
  end
  if grant > 0 and op ~= PEEK then
    for _, l in ipairs(limits) do charge(l, grant, id) end
  end
  local reply = { pack('>d', grant) }
  for _, l in ipairs(limits) do
    if not l.room then read(l) end
    local units = required(l, op == TAKE and minimum or cost)
    local wait = (grant < 0 and units > 0 and l.room < units) and wait_for(l, units) or 0
    reply[#reply + 1] = pack('>ddd', max(l.room, 0), reset_in(l), wait)
  end
  return table.concat(reply)
end

-- `mark`, a key that lives for `minimum` microseconds, makes a refund with an id idempotent.
local function give_back(limits, cost, minimum, mark)
  local refunded = 0
  local is_new = not mark or redis.call('SET', mark, 1, 'NX', 'PX', ceil(minimum / 1000))
  for _, l in ipairs(limits) do
    read(l)
    if is_new then refunded = max(refunded, refund(l, cost)) end
  end
  return pack('>d', refunded)
end

-- Renew or release a slot. A slot that has ended under one limit can't be renewed under any.
local function hold_on(op, limits, id)
  local result = 1
  for _, l in ipairs(limits) do
    slots_read(l)
    if not slots_has(l, id) then result = -1 end
  end
  for _, l in ipairs(limits) do
    if op == RELEASE then
      slots_release(l, id)
    elseif result == 1 then
      slots_hold(l, id)
    end
  end
  return pack('>d', result)
end

local replies, key_index = {}, 0
for i = 1, #ARGV do
  local request = ARGV[i]
  local op, count, cost, minimum, from = unpack_struct('>BBdd', request)
  if op == SET_TIME then
    now = cost
  else
    if not now then
      local time = redis.call('TIME')
      now = time[1] * 1000000 + time[2]
    end
    local limits = {}
    for j = 1, count do
      local algorithm, quantity, period
      algorithm, quantity, period, from = unpack_struct('>Bdd', request, from)
      limits[j] = { key = KEYS[key_index + j], algorithm = algorithm, quantity = quantity, period = period }
    end
    key_index = key_index + count
    local id = from <= #request and sub(request, from) or nil
    if op <= TAKE then
      replies[#replies + 1] = decide(op, limits, cost, minimum, id)
    elseif op == REFUND then
      local mark
      if id then
        key_index = key_index + 1
        mark = KEYS[key_index]
      end
      replies[#replies + 1] = give_back(limits, cost, minimum, mark)
    elseif op == RESET then
      for _, l in ipairs(limits) do redis.call('DEL', l.key) end
      replies[#replies + 1] = pack('>d', count)
    else
      replies[#replies + 1] = hold_on(op, limits, id)
    end
  end
end
return table.concat(replies)
