-- How the dashboard's role runs its statements. Many short ones run at once: a second process for one of them takes its core from
-- another, and compiling takes longer than they do. Set on the role, so that it holds through a transaction pooler, too.
ALTER ROLE salespulse_dashboard SET max_parallel_workers_per_gather = 0;
ALTER ROLE salespulse_dashboard SET jit = off;
