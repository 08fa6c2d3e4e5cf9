-- ARGV: time, then ids. Answers each job, or nothing.
local jobs = {}
for i = 2, #ARGV do jobs[#jobs + 1] = dump(load_job(ARGV[i])) end
return jobs
