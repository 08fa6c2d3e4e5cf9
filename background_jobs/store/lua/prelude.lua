-- Before every operation. KEYS[1] begins every key and holds the hash tag, so that all of them are on one node.
-- ARGV[1] is the time in Unix milliseconds, or '' for Redis's own. A job is a table of strings, as its hash holds them.
local call, format, max, min = redis.call, string.format, math.max, math.min
local P = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local LIVE = { queued = true, dispatched = true, running = true, retrying = true, canceling = true }
local WAITS = { queued = true, retrying = true }

-- Lua writes large numbers with an exponent; every number here is whole.
local function text(value)
  return type(value) == 'number' and format('%.0f', value) or value
end

local function non_empty(value)
  return value ~= '' and value or nil
end

local function load_job(id)
  local flat = call('HGETALL', P .. 'job:' .. id)
  if #flat == 0 then return nil end
  local job = {}
  for i = 1, #flat, 2 do job[flat[i]] = flat[i + 1] end
  return job
end

-- put(job, name, value, …) sets fields here and in Redis; the value false removes one.
local function put(job, ...)
  local fields, set, gone = { ... }, {}, {}
  for i = 1, #fields, 2 do
    local name, value = fields[i], text(fields[i + 1])
    if value == false then
      if job[name] then gone[#gone + 1] = name end
      job[name] = nil
    elseif job[name] ~= value then
      job[name] = value
      set[#set + 1], set[#set + 2] = name, value
    end
  end
  if #set > 0 then call('HSET', P .. 'job:' .. job.id, unpack(set)) end
  if #gone > 0 then call('HDEL', P .. 'job:' .. job.id, unpack(gone)) end
end

-- The reply's form of a job: JSON of its strings, read in one go; nothing for none. One that waits and gives no reason of
-- its own waits for what all wait for.
local function dump(job)
  if not job then return '' end
  local own = job.waiting_for
  if WAITS[job.state] and not own then job.waiting_for = call('GET', P .. 'waiting') or nil end
  local reply = cjson.encode(job)
  job.waiting_for = own
  return reply
end

local function count(name)
  call('HINCRBY', P .. 'counters', name, 1)
end

local function observe(histogram, kind, ms)
  ms = max(ms, 0)
  local bucket = #BOUNDS_MS + 1
  for i, bound in ipairs(BOUNDS_MS) do
    if ms <= bound then
      bucket = i
      break
    end
  end
  local name = histogram .. '|' .. kind .. '|'
  call('HINCRBY', P .. 'histograms', name .. (bucket - 1), 1)
  call('HINCRBY', P .. 'histograms', name .. 'sum_ms', text(ms))
end

local function depth(job, state, by)
  local field = state .. '|' .. job.kind
  if call('HINCRBY', P .. 'depth', field, by) == 0 then call('HDEL', P .. 'depth', field) end
end

-- One event: to the job's own stream, whose entry ids are the sequence numbers, and to the feed of all jobs.
local EVENT_FIELDS = { 'state', 'attempt', 'code', 'percent', 'step', 'message', 'counts' }
local function emit(job, kind_of_event)
  put(job, 'seq', job.seq + 1)
  local entry = { 'id', job.id, 'tenant', job.tenant, 'kind', job.kind, 'seq', job.seq, 'at_ms', text(now) }
  entry[#entry + 1], entry[#entry + 2] = 'type', kind_of_event
  for _, name in ipairs(EVENT_FIELDS) do
    if job[name] then entry[#entry + 1], entry[#entry + 2] = name, job[name] end
  end
  call('XADD', P .. 'events:' .. job.id, 'MAXLEN', '~', OPTIONS.events_length, job.seq .. '-0', unpack(entry))
  call('XADD', P .. 'feed', 'MAXLEN', '~', OPTIONS.feed_length, '*', unpack(entry))
end
