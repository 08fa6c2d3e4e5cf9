-- ARGV: time, id. What has no run ends at once; a run is asked to stop.
local job = load_job(ARGV[2])
if job and job.state == 'queued' then
  to_ended(job, 'canceled')
elseif job and LIVE[job.state] and job.state ~= 'canceling' then
  to_canceling(job)
end
return dump(job)
