-- What Salespulse keeps beside the application's tables, on the primary: the log of changed rows, a heartbeat, and the
-- schema that the mapping views of dbsql/source/<name>/ go into. Nothing here touches the application's own objects.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['salespulse_reader', 'salespulse_pipeline', 'salespulse_dashboard'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA IF NOT EXISTS salespulse_source;
REVOKE ALL ON SCHEMA salespulse_source FROM public;
GRANT USAGE ON SCHEMA salespulse_source TO salespulse_reader, salespulse_pipeline;

-- One row per changed key and statement. A key that is NULL stands for every key of the entity (TRUNCATE).
-- `xid` is the 64-bit id of the writing transaction: the refresh's watermark is a horizon over these ids, since neither
-- a sequence nor a time says which rows a snapshot has not seen yet.
CREATE TABLE salespulse_source.change_log (
    change_id bigint GENERATED ALWAYS AS IDENTITY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    logged_at timestamptz NOT NULL DEFAULT now(),
    entity text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    tenant_id text COLLATE "C",
    PRIMARY KEY (xid, change_id)
)
-- The log is pruned by DELETE (a TRUNCATE or a dropped partition would cancel queries on the standby), so vacuum must
-- come by often and must not wait for a share of a table that grows.
WITH (
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0.0,
    autovacuum_vacuum_insert_threshold = 100000
);
GRANT SELECT ON salespulse_source.change_log TO salespulse_reader;
GRANT SELECT, DELETE ON salespulse_source.change_log TO salespulse_pipeline;

-- One row, rewritten about once a second: its age as seen on a replica bounds how stale that replica is, also when
-- nothing else is written and when the WAL receiver is cut.
CREATE TABLE salespulse_source.heartbeat (
    heartbeat_id boolean PRIMARY KEY DEFAULT true CHECK (heartbeat_id),
    beat_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
WITH (fillfactor = 20);
INSERT INTO salespulse_source.heartbeat DEFAULT VALUES;
GRANT SELECT ON salespulse_source.heartbeat TO salespulse_reader;
GRANT SELECT, UPDATE ON salespulse_source.heartbeat TO salespulse_pipeline;

-- The dashboard's routes check how stale a replica is before they read it.
GRANT USAGE ON SCHEMA salespulse_source TO salespulse_dashboard;
GRANT SELECT ON salespulse_source.heartbeat TO salespulse_dashboard;

-- Which captures are installed, so that `source check` and `source uninstall` know what there should be.
CREATE TABLE salespulse_source.installed_capture (
    source_name text NOT NULL,
    table_name text NOT NULL,
    function_name text NOT NULL,
    installed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source_name, table_name)
);
GRANT SELECT ON salespulse_source.installed_capture TO salespulse_reader, salespulse_pipeline;
