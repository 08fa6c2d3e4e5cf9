-- What the routes ask of a server: where it stands, how old its data are, and what one read's transaction is bound to.

-- name: watch
-- One look at a server. The replay position of a replica is compared with the primary's: what a replica says of its own
-- lag reads 0 when its receiver is cut. The control file's timeline follows a promotion late, hence the greatest of what is known.
SELECT
    pg_is_in_recovery() AS is_in_recovery,
    CASE
        WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
        ELSE pg_current_wal_flush_lsn()
    END::text AS lsn,
    s.system_identifier,
    CASE
        WHEN pg_is_in_recovery() THEN to_hex(greatest(c.timeline_id, r.min_recovery_end_timeline))
        ELSE left(pg_walfile_name(pg_current_wal_flush_lsn()), 8)
    END AS timeline_hex,
    to_regclass('salespulse_source.heartbeat') IS NOT NULL AS has_heartbeat,
    clock_timestamp() AS clock_at
FROM pg_control_system() AS s, pg_control_checkpoint() AS c, pg_control_recovery() AS r;

-- name: heartbeat
SELECT h.beat_at FROM salespulse_source.heartbeat AS h;

-- name: position
-- Runs in a transaction of its own just before the one that reads: a position taken inside a snapshot may be newer
-- than the snapshot.
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END::text AS lsn;

-- name: enter_read
-- The first statement of a read: its limits and tenant, until the transaction ends, and how old its snapshot is.
SELECT
    set_config('statement_timeout', %(statement_timeout_ms)s::text, TRUE) AS statement_timeout,
    set_config('salespulse.tenant_key', %(tenant_key)s::text, TRUE) AS tenant_key,
    pg_is_in_recovery() AS is_in_recovery,
    (SELECT h.beat_at FROM salespulse_source.heartbeat AS h) AS beat_at,
    clock_timestamp() AS clock_at;

-- name: enter_read_without_heartbeat
-- The same on a warehouse that is not the application's server and so has no heartbeat.
SELECT
    set_config('statement_timeout', %(statement_timeout_ms)s::text, TRUE) AS statement_timeout,
    set_config('salespulse.tenant_key', %(tenant_key)s::text, TRUE) AS tenant_key,
    pg_is_in_recovery() AS is_in_recovery,
    NULL::timestamptz AS beat_at,
    clock_timestamp() AS clock_at;

-- name: committed_position
-- Everything committed by now lies before this position. With synchronous_commit off a commit may not be flushed yet.
SELECT
    CASE
        WHEN current_setting('synchronous_commit') = 'off' THEN pg_current_wal_insert_lsn()
        ELSE pg_current_wal_flush_lsn()
    END::text AS lsn,
    left(pg_walfile_name(pg_current_wal_flush_lsn()), 8) AS timeline_hex;

-- name: connection_limits
-- How many sessions the server takes from ordinary roles, which server it is (the same one may be reached by several URLs), and
-- the backend that answers: a pooler gives its clients identities of its own.
SELECT
    current_setting('max_connections')::integer AS max_connections,
    current_setting('superuser_reserved_connections')::integer
    + coalesce(current_setting('reserved_connections', TRUE)::integer, 0) AS reserved_connections,
    current_setting('port') || ' since ' || pg_postmaster_start_time()::text AS server_identity,
    pg_backend_pid() AS backend_pid;
