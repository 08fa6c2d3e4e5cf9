-- Background jobs in the warehouse: what the bridge keeps of them, and what puts them back into Redis when that was lost.

-- name: lock_position
-- One archiver at a time: another one goes without.
SELECT
    p.epoch,
    p.feed_id
FROM salespulse.job_feed_position AS p
WHERE p.reader = %(reader)s
FOR UPDATE SKIP LOCKED;

-- name: begin_position
-- Before the first read of the feed.
INSERT INTO salespulse.job_feed_position (reader, epoch, feed_id)
VALUES (%(reader)s, '', '0-0')
ON CONFLICT (reader) DO NOTHING;

-- name: move_position
UPDATE salespulse.job_feed_position
SET
    epoch = %(epoch)s,
    feed_id = %(feed_id)s
WHERE reader = %(reader)s;

-- name: archive
-- What is there already and newer stays.
INSERT INTO salespulse.job_archive AS a (
    job_id, tenant_key, tenant_id, kind, state, code, attempt, seq, created_at, ended_at, record
)
SELECT
    %(job_id)s::uuid,
    (SELECT t.tenant_key FROM salespulse.dim_tenant AS t WHERE t.tenant_id = %(tenant_id)s),
    %(tenant_id)s,
    %(kind)s,
    %(state)s,
    %(code)s,
    %(attempt)s,
    %(seq)s,
    %(created_at)s,
    %(ended_at)s,
    %(record)s::json
ON CONFLICT (job_id) DO UPDATE
    SET
        tenant_key = excluded.tenant_key,
        state = excluded.state,
        code = excluded.code,
        attempt = excluded.attempt,
        seq = excluded.seq,
        ended_at = excluded.ended_at,
        record = excluded.record
    WHERE a.seq < excluded.seq;

-- name: list_live
-- What had not ended when it was last seen, and what ended lately: the picture from which Redis is filled again.
SELECT a.record
FROM salespulse.job_archive AS a
WHERE a.ended_at IS NULL OR a.ended_at >= %(ended_since)s
ORDER BY a.created_at, a.job_id;

-- name: find
-- One job, for whoever may see it: row-level security shows a tenant its own.
SELECT a.record
FROM salespulse.job_archive AS a
WHERE a.job_id = %(job_id)s::uuid;

-- name: prune
-- Ended long ago. A job that was never seen to end goes by the moment that it was made.
DELETE FROM salespulse.job_archive AS a
WHERE
    a.job_id IN (
        SELECT o.job_id
        FROM salespulse.job_archive AS o
        WHERE coalesce(o.ended_at, o.created_at) < %(before)s
        LIMIT %(row_limit)s
    );
