-- The refresh's own state in the warehouse: lock, watermark, queue, log.

-- name: set_limits
-- For this transaction only, so that nothing leaks through a transaction pooler. Just-in-time compilation costs more than
-- these statements take.
SELECT
    set_config('lock_timeout', %(lock_timeout)s, true),
    set_config('statement_timeout', %(statement_timeout)s, true),
    set_config('jit', 'off', true),
    set_config('work_mem', %(work_mem)s, true),
    set_config('timezone', 'UTC', true);

-- name: take_lock
-- One writer of the facts at a time, taken BEFORE the replica's snapshot opens: otherwise a refresh with an older snapshot
-- could write after one with a newer. Released with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('salespulse.refresh', 0));

-- name: try_lock
SELECT pg_try_advisory_xact_lock(hashtextextended('salespulse.refresh', 0)) AS is_taken;

-- name: read_state
SELECT
    s.horizon::text::bigint AS horizon,
    s.applied_lsn::text AS applied_lsn,
    s.timeline,
    s.system_identifier,
    s.anchor_xids::text[]::bigint[] AS anchor_xids,
    s.anchor_change_ids,
    s.as_of,
    s.refreshed_at,
    s.pruned_at,
    array(SELECT t.xid::text::bigint FROM salespulse.seen_transaction AS t) AS seen
FROM salespulse.refresh_state AS s;

-- name: lsn_reached
SELECT %(lsn)s::pg_lsn >= %(applied_lsn)s::pg_lsn AS is_reached;

-- name: write_state
INSERT INTO salespulse.refresh_state AS s (
    horizon, applied_lsn, timeline, system_identifier, anchor_xids, anchor_change_ids, as_of, refreshed_at
)
VALUES (
    %(horizon)s::text::xid8,
    %(applied_lsn)s::pg_lsn,
    %(timeline)s,
    %(system_identifier)s,
    %(anchor_xids)s::text[]::xid8[],
    %(anchor_change_ids)s,
    %(as_of)s,
    clock_timestamp()
)
ON CONFLICT (refresh_state_id) DO UPDATE
    SET
        horizon = excluded.horizon,
        applied_lsn = excluded.applied_lsn,
        timeline = excluded.timeline,
        system_identifier = excluded.system_identifier,
        anchor_xids = excluded.anchor_xids,
        anchor_change_ids = excluded.anchor_change_ids,
        as_of = greatest(s.as_of, excluded.as_of),
        refreshed_at = excluded.refreshed_at;

-- name: remember_seen
INSERT INTO salespulse.seen_transaction (xid)
SELECT unnest(%(xids)s::text[]::xid8[])
ON CONFLICT DO NOTHING;

-- name: forget_seen
DELETE FROM salespulse.seen_transaction WHERE xid < %(horizon)s::text::xid8;

-- name: advance_as_of
-- Nothing was pending at that moment, so the facts reflect the sales up to it.
UPDATE salespulse.refresh_state SET as_of = greatest(as_of, %(as_of)s), refreshed_at = clock_timestamp();

-- name: write_log
INSERT INTO salespulse.refresh_log (
    started_at, as_of, horizon, changed_documents, changed_dimension_rows, rows_written
)
VALUES (
    %(started_at)s,
    %(as_of)s,
    %(horizon)s::text::xid8,
    %(changed_documents)s,
    %(changed_dimension_rows)s,
    %(rows_written)s
);

-- name: last_refreshes
SELECT
    refresh_id,
    started_at,
    finished_at,
    as_of,
    changed_documents,
    changed_dimension_rows,
    rows_written
FROM salespulse.refresh_log
ORDER BY refresh_id DESC
LIMIT %(row_limit)s;

-- name: write_continuity_event
INSERT INTO salespulse.continuity_event (reason, enqueued_documents)
VALUES (%(reason)s, %(enqueued_documents)s);

-- name: take_pending
-- The oldest documents of the queue leave it; they come back if the transaction does not commit. By row address: nobody
-- else takes any under the refresh's lock, rows are never updated, and a join would read the whole queue each time.
DELETE FROM salespulse.pending_document AS p
WHERE
    p.ctid = any(
        array(
            SELECT o.ctid FROM salespulse.pending_document AS o
            ORDER BY o.pending_id
            LIMIT %(row_limit)s
        )
    )
RETURNING p.document_kind, p.document_id;

-- name: count_pending
SELECT count(*) AS pending_documents FROM salespulse.pending_document;

-- name: create_enqueue_stage
CREATE TEMP TABLE stage_enqueue (
    enqueue_order bigint GENERATED ALWAYS AS IDENTITY,
    document_kind text,
    document_id text
) ON COMMIT DROP;

-- name: copy_enqueue_stage
COPY pg_temp.stage_enqueue (document_kind, document_id) FROM STDIN;

-- name: enqueue_stage
INSERT INTO salespulse.pending_document (document_kind, document_id, reason)
SELECT
    s.document_kind,
    s.document_id,
    %(reason)s
FROM pg_temp.stage_enqueue AS s
ORDER BY s.enqueue_order
ON CONFLICT DO NOTHING;

-- name: enqueue_facts
-- Documents that the facts hold for a range of business dates, and those in quarantine: their source rows may be gone.
INSERT INTO salespulse.pending_document (document_kind, document_id, reason)
SELECT
    f.document_kind,
    f.document_id,
    %(reason)s
FROM salespulse.fact_document AS f
WHERE f.business_date >= %(from_date)s AND f.business_date <= %(to_date)s
UNION ALL
SELECT
    q.document_kind,
    q.document_id,
    %(reason)s
FROM salespulse.quarantined_document AS q
ON CONFLICT DO NOTHING;

-- name: enqueue_kind
-- Every document of a kind that the facts or the quarantine hold: the application truncated a table. The source's side is
-- staged.
INSERT INTO salespulse.pending_document (document_kind, document_id, reason)
SELECT
    f.document_kind,
    f.document_id,
    %(reason)s
FROM salespulse.fact_document AS f
WHERE f.document_kind = %(document_kind)s
UNION ALL
SELECT
    q.document_kind,
    q.document_id,
    %(reason)s
FROM salespulse.quarantined_document AS q
WHERE q.document_kind = %(document_kind)s
ON CONFLICT DO NOTHING;

-- name: drop_enqueue_stage
DROP TABLE pg_temp.stage_enqueue;

-- name: forget_all_seen
DELETE FROM salespulse.seen_transaction;

-- name: forget_state
-- History was rewritten: the next write takes a new watermark, and what it was before says nothing any more.
DELETE FROM salespulse.horizon_history;
DELETE FROM salespulse.refresh_state;

-- name: count_refreshes
SELECT count(*) AS refreshes FROM salespulse.refresh_log;
