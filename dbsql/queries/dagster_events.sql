-- What the bridge reads of Dagster's own storage. Statements on its tables are tested where those exist.

-- name: listen
LISTEN run_events;

-- name: newest_event
SELECT coalesce(max(e.id), 0) AS event_id FROM event_logs AS e;

-- name: job_events
-- Changes of state of the runs that belong to background jobs. Ids are given out before a transaction commits, so that a lower one may
-- appear after a higher one: the caller asks again for those it had.
SELECT
    e.id AS event_id,
    e.run_id,
    e.dagster_event_type AS event_type,
    t.value AS job_id,
    (extract(EPOCH FROM e.timestamp) * 1000)::bigint AS at_ms,
    (SELECT a.value FROM run_tags AS a WHERE a.run_id = e.run_id AND a.key = 'salespulse/job_attempt') AS attempt,
    (SELECT a.value FROM run_tags AS a WHERE a.run_id = e.run_id AND a.key = 'salespulse/job_result') AS result,
    (SELECT a.value FROM run_tags AS a WHERE a.run_id = e.run_id AND a.key = 'dagster/will_retry') AS will_retry,
    (SELECT a.value FROM run_tags AS a WHERE a.run_id = e.run_id AND a.key = 'dagster/retry_number') AS retry_number,
    (SELECT a.value FROM run_tags AS a WHERE a.run_id = e.run_id AND a.key = 'dagster/parent_run_id') AS parent_run_id
FROM event_logs AS e
INNER JOIN run_tags AS t ON e.run_id = t.run_id AND t.key = 'salespulse/job_id'
WHERE
    e.id > %(after)s
    AND e.dagster_event_type IN (
        'PIPELINE_START', 'PIPELINE_SUCCESS', 'PIPELINE_FAILURE', 'PIPELINE_CANCELED', 'PIPELINE_ENQUEUED'
    )
ORDER BY e.id
LIMIT %(row_limit)s;

-- name: heartbeat_age
-- Of the part of Dagster's daemon that has been silent longest.
SELECT max(extract(EPOCH FROM (now() AT TIME ZONE 'UTC') - d.timestamp))::double precision AS age_s
FROM daemon_heartbeats AS d;
