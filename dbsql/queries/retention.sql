-- What is pruned: the change log behind the watermark, the refresh log, and Dagster's own storage. Dagster never purges its
-- event log by itself, and deleting a run takes back the materialisations of its partitions. Background jobs and webhooks are
-- pruned by job_archive.sql and webhooks.sql.

-- name: note_horizon
-- In the warehouse: the watermark that is committed by now, before the change log is pruned.
INSERT INTO salespulse.horizon_history (horizon)
SELECT s.horizon FROM salespulse.refresh_state AS s
ON CONFLICT DO NOTHING;

-- name: read_past_horizon
-- The watermark as it was the keep time ago; no row if none was noted so long ago. Older ones are forgotten.
WITH past AS (
    SELECT max(h.noted_at) AS noted_at
    FROM salespulse.horizon_history AS h
    WHERE h.noted_at <= clock_timestamp() - make_interval(secs => %(keep_s)s)
),

forgotten AS (
    DELETE FROM salespulse.horizon_history AS h
    USING past AS p
    WHERE h.noted_at < p.noted_at
)

SELECT h.horizon::text AS horizon
FROM salespulse.horizon_history AS h
INNER JOIN past AS p ON h.noted_at = p.noted_at;

-- name: prune_change_log
-- On the primary, after a refresh: rows that the warehouse had applied the keep time ago, some at a time. Anchors stay. One statement with
-- the mark that says how far: whatever comes between, a warehouse that needed a deleted row is told so.
WITH pruned AS (
    DELETE FROM salespulse_source.change_log AS l
    WHERE
        (l.xid, l.change_id) IN (
            SELECT
                o.xid,
                o.change_id
            FROM salespulse_source.change_log AS o
            WHERE
                o.xid < %(horizon)s::text::xid8
                AND NOT o.change_id = any(%(anchor_change_ids)s::bigint[])
            ORDER BY o.xid, o.change_id
            LIMIT %(row_limit)s
        )
    RETURNING l.change_id
),

marked AS (
    UPDATE salespulse_source.change_log_pruning AS m
    SET
        pruned_through = %(horizon)s::text::xid8,
        system_identifier = c.system_identifier::text
    FROM pg_control_system() AS c
    WHERE
        (m.pruned_through < %(horizon)s::text::xid8 OR m.system_identifier <> c.system_identifier::text)
        AND EXISTS (SELECT FROM pruned)
)

SELECT count(*) AS pruned FROM pruned;

-- name: mark_change_log_pruned
-- In the warehouse, with the watermark.
UPDATE salespulse.refresh_state SET pruned_at = clock_timestamp();

-- name: prune_events
-- In Dagster's database: log lines and step events of runs that ended long ago. Asset events stay, the runs themselves too.
DELETE FROM event_logs AS e
WHERE
    e.id IN (
        SELECT o.id
        FROM event_logs AS o
        WHERE
            o.asset_key IS NULL
            AND (o.dagster_event_type IS NULL OR o.dagster_event_type NOT LIKE 'ASSET\_%%')
            AND o.timestamp < %(before)s::timestamptz AT TIME ZONE 'UTC'
            AND NOT EXISTS (
                SELECT FROM runs AS r
                WHERE r.run_id = o.run_id AND r.status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')
            )
        ORDER BY o.id
        LIMIT %(row_limit)s
    );

-- name: prune_observations
-- In Dagster's database: old observations, which are only looked at for their course, except each asset's newest.
DELETE FROM event_logs AS e
WHERE
    e.id IN (
        SELECT o.id
        FROM event_logs AS o
        WHERE
            o.dagster_event_type = 'ASSET_OBSERVATION'
            AND o.timestamp < %(before)s::timestamptz AT TIME ZONE 'UTC'
            AND EXISTS (
                SELECT FROM event_logs AS n
                WHERE n.asset_key = o.asset_key AND n.dagster_event_type = o.dagster_event_type AND n.id > o.id
            )
        ORDER BY o.id
        LIMIT %(row_limit)s
    );

-- name: prune_refresh_log
-- In the warehouse: refreshes that ended long ago, except the newest.
DELETE FROM salespulse.refresh_log AS l
WHERE
    l.refresh_id IN (
        SELECT o.refresh_id
        FROM salespulse.refresh_log AS o
        WHERE
            o.finished_at < %(before)s
            AND o.refresh_id < (SELECT max(m.refresh_id) FROM salespulse.refresh_log AS m)
        ORDER BY o.refresh_id
        LIMIT %(row_limit)s
    );
