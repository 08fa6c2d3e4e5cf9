-- What the refresh reads on the replica to learn what changed. See docs/architecture.md, "The watermark".

-- name: replica_position
-- Which history this server is on and how far it has come, read BEFORE the snapshot opens: a lower bound of what the
-- snapshot will show. The control file's timeline lags until a restartpoint; the receiver's does not, but there may be none.
SELECT
    pg_is_in_recovery() AS is_replica,
    c.system_identifier::text AS system_identifier,
    CASE
        WHEN pg_is_in_recovery()
            THEN
                greatest(
                    salespulse_source.receiver_timeline(),
                    (SELECT r.min_recovery_end_timeline FROM pg_control_recovery() AS r),
                    (SELECT p.timeline_id FROM pg_control_checkpoint() AS p)
                )
        ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
    END AS timeline,
    CASE
        WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
        ELSE pg_current_wal_insert_lsn()
    END::text AS lsn,
    CASE
        WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp()
        ELSE clock_timestamp()
    END AS replayed_at
FROM pg_control_system() AS c;

-- name: snapshot_horizon
-- First statement of the snapshot. Every transaction below the horizon has ended, and what it committed is visible. The
-- position is read AFTER the snapshot was taken: an upper bound of what the snapshot shows.
SELECT
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon,
    CASE
        WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
        ELSE pg_current_wal_insert_lsn()
    END::text AS lsn,
    h.beat_at,
    h.timeline AS beat_timeline,
    (
        SELECT m.pruned_through::text::bigint
        FROM salespulse_source.change_log_pruning AS m
        INNER JOIN pg_control_system() AS c ON m.system_identifier = c.system_identifier::text
    ) AS pruned_through,
    (
        SELECT count(*)
        FROM unnest(%(anchor_xids)s::text[]::xid8[], %(anchor_change_ids)s::bigint[]) AS a (xid, change_id)
        INNER JOIN salespulse_source.change_log AS l ON a.xid = l.xid AND a.change_id = l.change_id
    ) AS anchors_found
FROM salespulse_source.heartbeat AS h;

-- name: changes_from_horizon
-- Visible changes that are not applied yet, oldest transaction first; one row per transaction and key.
SELECT
    l.xid::text::bigint AS xid,
    l.entity,
    l.key,
    max(l.change_id) AS change_id
FROM salespulse_source.change_log AS l
WHERE l.xid >= %(horizon)s::text::xid8 AND NOT l.xid = any(%(seen)s::text[]::xid8[])
GROUP BY l.xid, l.entity, l.key
ORDER BY l.xid
LIMIT %(row_limit)s;

-- name: copy_transaction_keys
-- The sales and returns of one transaction that changed more of them than a batch may hold.
COPY (
    SELECT DISTINCT
        l.entity,
        l.key
    FROM salespulse_source.change_log AS l
    WHERE l.xid = %(xid)s::text::xid8 AND l.entity IN ('sale', 'return') AND l.key IS NOT NULL
) TO STDOUT;

-- name: transaction_other_keys
-- The rest of such a transaction: dimension rows, and whole entities (TRUNCATE).
SELECT
    l.entity,
    l.key,
    max(l.change_id) AS change_id
FROM salespulse_source.change_log AS l
WHERE l.xid = %(xid)s::text::xid8 AND (l.entity NOT IN ('sale', 'return') OR l.key IS NULL)
GROUP BY l.entity, l.key;

-- name: observe_pending
-- What the sensor asks on its ticks, and the newest visible change as its run key; counts no further than `row_limit`.
SELECT
    count(*) AS pending_changes,
    coalesce(max(p.change_id), 0) AS newest_change_id,
    min(p.logged_at) AS oldest_logged_at
FROM (
    SELECT
        l.change_id,
        l.logged_at
    FROM salespulse_source.change_log AS l
    WHERE l.xid >= %(horizon)s::text::xid8 AND NOT l.xid = any(%(seen)s::text[]::xid8[])
    LIMIT %(row_limit)s
) AS p;

-- name: newest_anchors
-- Some of the newest log rows below a horizon: what the next refresh expects to find again.
SELECT
    l.xid::text::bigint AS xid,
    l.change_id
FROM salespulse_source.change_log AS l
WHERE l.xid < %(horizon)s::text::xid8
ORDER BY l.xid DESC, l.change_id DESC
LIMIT %(row_limit)s;
