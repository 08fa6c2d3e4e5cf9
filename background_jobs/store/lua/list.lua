-- ARGV: time, index (all or live, of a tenant or not), kind or '', states by commas or '', limit, cursor's time or '',
-- cursor's id. Newest first. Answers jobs and, where more may follow, the last one that was dealt with.
local LOOKED_AT_MOST = 2000
local index, kind, states, limit = P .. ARGV[2], non_empty(ARGV[3]), non_empty(ARGV[4]), tonumber(ARGV[5])
local from, after = non_empty(ARGV[6]), ARGV[7]
local state_set
if states then
  state_set = {}
  for state in string.gmatch(states, '[^,]+') do state_set[state] = true end
end

local jobs, looked_at, last_id, last_ms, offset = {}, 0, nil, nil, 0
while looked_at < LOOKED_AT_MOST do
  local page = call('ZREVRANGEBYSCORE', index, from or '+inf', '-inf', 'WITHSCORES', 'LIMIT', offset, 100)
  if #page == 0 then return { jobs } end
  for i = 1, #page, 2 do
    local id, ms = page[i], page[i + 1]
    offset = offset + 1
    -- Of those with the cursor's time, what the last page has shown is passed over.
    if ms ~= from or id < after then
      local job = load_job(id)
      if job and (not kind or job.kind == kind) and (not state_set or state_set[job.state]) then
        if #jobs == limit then return { jobs, last_ms, last_id } end
        jobs[#jobs + 1] = dump(job)
      end
      looked_at, last_id, last_ms = looked_at + 1, id, ms
    end
  end
end
return { jobs, last_ms, last_id }
