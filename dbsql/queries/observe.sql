-- What operators ask about lag and freshness.

-- name: primary_lsn
-- The primary's position, read before the replica's.
SELECT
    CASE
        WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
        ELSE pg_current_wal_lsn()
    END::text AS lsn;

-- name: replica
-- The lag in bytes needs the primary's position: what a standby says of itself reads 0 when its receiver is cut. The
-- heartbeat's age bounds the lag in time, also on an idle pair.
SELECT
    pg_is_in_recovery() AS is_replica,
    to_regclass('salespulse_source.sale') IS NOT NULL AS is_installed,
    greatest(
        0,
        %(primary_lsn)s::pg_lsn - CASE
            WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_lsn()
        END
    )::bigint AS lag_bytes,
    greatest(0, extract(EPOCH FROM clock_timestamp() - h.beat_at))::double precision AS lag_s,
    greatest(
        h.beat_at,
        CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() ELSE clock_timestamp() END
    ) AS shown_at
FROM salespulse_source.heartbeat AS h;

-- name: count_quarantined
SELECT count(*) AS quarantined_documents FROM salespulse.quarantined_document;

-- name: list_quarantined
SELECT
    q.reason,
    count(*) AS documents,
    min(q.quarantined_at) AS oldest_at,
    min(q.detail) AS example
FROM salespulse.quarantined_document AS q
GROUP BY q.reason
ORDER BY count(*) DESC;
