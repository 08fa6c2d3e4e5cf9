-- Which history a standby shows. After an asynchronous failover transaction ids and log numbers are used again, so the
-- refresh must know that the timeline changed; but a standby's control file names the new one only after its next
-- restartpoint, minutes later, and its receiver's is hidden from ordinary roles.

-- Written with each beat, so it is in the very snapshot that a refresh reads.
ALTER TABLE salespulse_source.heartbeat ADD COLUMN timeline integer;

-- NULL where no receiver runs, and where the migrating role itself may not see it (it needs pg_read_all_stats).
CREATE FUNCTION salespulse_source.receiver_timeline() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT received_tli FROM pg_stat_wal_receiver $$;
REVOKE ALL ON FUNCTION salespulse_source.receiver_timeline() FROM public;
GRANT EXECUTE ON FUNCTION salespulse_source.receiver_timeline() TO salespulse_reader, salespulse_pipeline;
