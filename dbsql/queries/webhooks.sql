-- Webhooks out (endpoints, and deliveries as an outbox) and in (hooks). Run as the pipeline's role, but for find_hook.
--
-- Parameters that many share: `now`, a clock for tests; NULL: the server's.

-- name: enqueue
-- One delivery per endpoint of the tenant that wants this event. Archiving the same ending again changes nothing; an endpoint
-- hears of no job that had ended before it was made (the slack is for clocks that differ).
INSERT INTO salespulse.webhook_delivery (endpoint_id, job_id, event_type, body)
SELECT
    e.endpoint_id,
    %(job_id)s,
    %(event_type)s,
    %(body)s
FROM salespulse.webhook_endpoint AS e
INNER JOIN salespulse.dim_tenant AS t ON e.tenant_key = t.tenant_key
WHERE
    t.tenant_id = %(tenant_id)s
    AND NOT t.is_deleted
    AND e.is_enabled
    AND (e.event_types IS NULL OR %(event_type)s = any(e.event_types))
    AND e.created_at <= %(ended_at)s::timestamptz + interval '5 minutes'
ON CONFLICT (endpoint_id, job_id, event_type) DO NOTHING;

-- name: claim
-- Take deliveries that are due, for a lease; those of a slow endpoint are few at a time, so that they hold up no other's.
WITH due AS (
    SELECT w.delivery_id
    FROM salespulse.webhook_endpoint AS e
    CROSS JOIN
        LATERAL (
            SELECT count(*) AS deliveries
            FROM salespulse.webhook_delivery AS d
            WHERE
                d.endpoint_id = e.endpoint_id
                AND d.lease_id IS NOT NULL
                AND d.next_attempt_at > coalesce(%(now)s, clock_timestamp())
        ) AS f
    CROSS JOIN
        LATERAL (
            SELECT
                d.delivery_id,
                d.next_attempt_at
            FROM salespulse.webhook_delivery AS d
            WHERE
                d.endpoint_id = e.endpoint_id
                AND d.state = 'pending'
                AND d.next_attempt_at <= coalesce(%(now)s, clock_timestamp())
            ORDER BY d.next_attempt_at
            LIMIT greatest(0, %(endpoint_limit)s - f.deliveries)
            FOR UPDATE SKIP LOCKED
        ) AS w
    WHERE e.is_enabled
    ORDER BY w.next_attempt_at
    LIMIT %(row_limit)s
)

UPDATE salespulse.webhook_delivery AS d
SET
    attempts = d.attempts + 1,
    lease_id = gen_random_uuid(),
    last_attempt_at = coalesce(%(now)s, clock_timestamp()),
    next_attempt_at = coalesce(%(now)s, clock_timestamp()) + make_interval(secs => %(lease_s)s)
FROM due AS w, salespulse.webhook_endpoint AS e
WHERE d.delivery_id = w.delivery_id AND e.endpoint_id = d.endpoint_id
RETURNING
    d.delivery_id,
    d.lease_id,
    d.attempts,
    d.body,
    e.endpoint_id,
    e.url,
    e.secret,
    CASE
        WHEN e.previous_secret_until > coalesce(%(now)s, clock_timestamp()) THEN e.previous_secret
    END AS previous_secret;

-- name: record_attempt
-- How an attempt ended. `retry_after_s` NULL: there is no further one. No row: the lease was over, and another sender has it.
UPDATE salespulse.webhook_delivery
SET
    state = %(state)s,
    lease_id = NULL,
    next_attempt_at
    = coalesce(%(now)s, clock_timestamp()) + make_interval(secs => coalesce(%(retry_after_s)s, 0)),
    ended_at = CASE WHEN %(state)s <> 'pending' THEN coalesce(%(now)s, clock_timestamp()) END,
    last_seconds = %(seconds)s,
    last_status = %(status)s,
    last_error = %(error)s,
    last_response = %(response)s
WHERE delivery_id = %(delivery_id)s AND lease_id = %(lease_id)s
RETURNING delivery_id;

-- name: release
-- Give back what was not sent to its end: another sender may take it up at once, and the attempt does not count.
UPDATE salespulse.webhook_delivery
SET
    attempts = attempts - 1,
    lease_id = NULL,
    next_attempt_at = coalesce(%(now)s, clock_timestamp())
WHERE delivery_id = %(delivery_id)s AND lease_id = %(lease_id)s;

-- name: create_endpoint
-- No row: there is no such tenant.
INSERT INTO salespulse.webhook_endpoint (tenant_key, url, event_types, secret)
SELECT
    t.tenant_key,
    %(url)s,
    %(event_types)s,
    %(secret)s
FROM salespulse.dim_tenant AS t
WHERE t.tenant_id = %(tenant_id)s AND NOT t.is_deleted
RETURNING endpoint_id;

-- name: list_endpoints
-- Without secrets. `tenant_id` NULL: of every tenant.
SELECT
    e.endpoint_id,
    t.tenant_id,
    t.name AS tenant_name,
    e.url,
    e.event_types,
    e.is_enabled,
    e.disabled_reason,
    e.created_at,
    e.previous_secret_until,
    count(d.delivery_id) FILTER (WHERE d.state = 'pending') AS pending,
    count(d.delivery_id) FILTER (WHERE d.state = 'delivered') AS delivered,
    count(d.delivery_id) FILTER (WHERE d.state = 'failed') AS failed
FROM salespulse.webhook_endpoint AS e
INNER JOIN salespulse.dim_tenant AS t ON e.tenant_key = t.tenant_key
LEFT JOIN salespulse.webhook_delivery AS d ON e.endpoint_id = d.endpoint_id
WHERE %(tenant_id)s::text IS NULL OR t.tenant_id = %(tenant_id)s
GROUP BY e.endpoint_id, t.tenant_id, t.name
ORDER BY e.endpoint_id;

-- name: rotate_secret
-- The secret so far signs beside the new one for a while.
UPDATE salespulse.webhook_endpoint
SET
    previous_secret = secret,
    previous_secret_until = coalesce(%(now)s, clock_timestamp()) + make_interval(secs => %(overlap_s)s),
    secret = %(secret)s
WHERE endpoint_id = %(endpoint_id)s
RETURNING previous_secret_until;

-- name: enable_endpoint
UPDATE salespulse.webhook_endpoint SET is_enabled = TRUE, disabled_reason = NULL
WHERE endpoint_id = %(endpoint_id)s
RETURNING endpoint_id;

-- name: disable_endpoint
UPDATE salespulse.webhook_endpoint SET is_enabled = FALSE, disabled_reason = %(reason)s
WHERE endpoint_id = %(endpoint_id)s
RETURNING endpoint_id;

-- name: remove_endpoint
-- With its deliveries.
DELETE FROM salespulse.webhook_endpoint WHERE endpoint_id = %(endpoint_id)s
RETURNING endpoint_id;

-- name: list_deliveries
-- The newest first. Each filter may be NULL.
SELECT
    d.delivery_id,
    d.endpoint_id,
    t.tenant_id,
    d.job_id,
    d.event_type,
    d.state,
    d.attempts,
    d.created_at,
    CASE WHEN d.state = 'pending' THEN d.next_attempt_at END AS next_attempt_at,
    d.last_attempt_at,
    d.ended_at,
    d.last_status,
    d.last_seconds,
    d.last_error,
    d.last_response
FROM salespulse.webhook_delivery AS d
INNER JOIN salespulse.webhook_endpoint AS e ON d.endpoint_id = e.endpoint_id
INNER JOIN salespulse.dim_tenant AS t ON e.tenant_key = t.tenant_key
WHERE
    (%(endpoint_id)s::integer IS NULL OR d.endpoint_id = %(endpoint_id)s)
    AND (%(job_id)s::text IS NULL OR d.job_id = %(job_id)s)
    AND (%(state)s::text IS NULL OR d.state = %(state)s)
ORDER BY d.created_at DESC, d.delivery_id DESC
LIMIT %(row_limit)s;

-- name: redeliver
-- Due at once, with every attempt before it again, under the same id; a sender that has it now may record nothing more.
UPDATE salespulse.webhook_delivery
SET
    state = 'pending',
    attempts = 0,
    next_attempt_at = coalesce(%(now)s, clock_timestamp()),
    lease_id = NULL,
    ended_at = NULL
WHERE delivery_id = %(delivery_id)s
RETURNING endpoint_id;

-- name: prune_deliveries
-- Kept at least as long as the archive of jobs: a row is what stops the same event from being enqueued again.
DELETE FROM salespulse.webhook_delivery
WHERE state <> 'pending' AND ended_at < coalesce(%(now)s, clock_timestamp()) - make_interval(secs => %(keep_s)s);

-- name: find_hook
-- Run as the dashboard's role.
SELECT
    h.hook_id,
    h.tenant_id,
    h.kind,
    h.params,
    h.secrets
FROM salespulse.inbound_hook_of(%(token_hash)s) AS h;

-- name: create_hook
-- No row: there is no such tenant.
INSERT INTO salespulse.inbound_hook (tenant_key, token_hash, name, kind, params, secret)
SELECT
    t.tenant_key,
    %(token_hash)s,
    %(name)s,
    %(kind)s,
    %(params)s,
    %(secret)s
FROM salespulse.dim_tenant AS t
WHERE t.tenant_id = %(tenant_id)s AND NOT t.is_deleted
RETURNING hook_id;

-- name: list_hooks
-- Revoked ones, too; neither tokens nor secrets.
SELECT
    h.hook_id,
    t.tenant_id,
    t.name AS tenant_name,
    h.name,
    h.kind,
    h.params,
    h.created_at,
    h.previous_secret_until,
    h.revoked_at
FROM salespulse.inbound_hook AS h
INNER JOIN salespulse.dim_tenant AS t ON h.tenant_key = t.tenant_key
WHERE %(tenant_id)s::text IS NULL OR t.tenant_id = %(tenant_id)s
ORDER BY h.hook_id;

-- name: rotate_hook_secret
UPDATE salespulse.inbound_hook
SET
    previous_secret = secret,
    previous_secret_until = coalesce(%(now)s, clock_timestamp()) + make_interval(secs => %(overlap_s)s),
    secret = %(secret)s
WHERE hook_id = %(hook_id)s AND revoked_at IS NULL
RETURNING previous_secret_until;

-- name: revoke_hook
UPDATE salespulse.inbound_hook SET revoked_at = now() WHERE hook_id = %(hook_id)s AND revoked_at IS NULL
RETURNING hook_id;
