-- What capture and refresh ask of the server itself.
-- The present text, for reading: a migration puts it into the database, and a test compares the two.

-- Whether PostgreSQL knows a time zone by this name. pg_timezone_names would read every zone file at each call.
CREATE OR REPLACE FUNCTION salespulse.is_time_zone(zone text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (timestamptz 'epoch' AT TIME ZONE zone) IS NOT NULL;
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN false;
END
$$;

-- NULL where no receiver runs, and where the migrating role itself may not see it (it needs pg_read_all_stats).
CREATE OR REPLACE FUNCTION salespulse_source.receiver_timeline() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT received_tli FROM pg_stat_wal_receiver $$;
