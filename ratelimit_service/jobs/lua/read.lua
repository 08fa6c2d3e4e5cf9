-- ARGV: time, then ids. Answers each job, or nothing.
local found = {}
for i = 2, #ARGV do
  local job = load_job(ARGV[i])
  found[#found + 1] = job and dump(job) or {}
end
return found
