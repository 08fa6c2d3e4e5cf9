-- ARGV: time, then ids. Answers each job, or nothing.
local found = {}
for i = 2, #ARGV do found[#found + 1] = dump(load_job(ARGV[i])) end
return found
