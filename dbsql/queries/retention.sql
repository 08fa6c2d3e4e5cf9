-- What is pruned: the change log behind the watermark, the refresh log, and Dagster's own storage. Dagster never purges its
-- event log by itself, and deleting a run takes back the materialisations of its partitions. Background jobs and webhooks are
-- pruned by job_archive.sql and webhooks.sql.

-- name: prune_change_log
-- On the primary, after a refresh: applied rows of the change log older than the keep time, some at a time. Anchors stay.
DELETE FROM salespulse_source.change_log AS l
WHERE
    (l.xid, l.change_id) IN (
        SELECT
            o.xid,
            o.change_id
        FROM salespulse_source.change_log AS o
        WHERE
            o.xid < %(horizon)s::text::xid8
            AND o.logged_at < clock_timestamp() - make_interval(secs => %(keep_s)s)
            AND NOT o.change_id = any(%(anchor_change_ids)s::bigint[])
        ORDER BY o.xid, o.change_id
        LIMIT %(row_limit)s
    );

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
