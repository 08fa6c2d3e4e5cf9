-- One batch of documents: their present state is staged, compared with what was last applied, and the signed difference
-- goes to the rollups. All in the warehouse, all in one transaction.

-- name: inspect_batch_tables
-- Which text made the session's batch tables (none: no mark), and whether this transaction or one that failed has left rows in them.
SELECT
    obj_description(t.stage, 'pg_class') AS mark,
    coalesce(pg_relation_size(t.stage) > 0, FALSE) AS is_used
FROM (SELECT to_regclass('pg_temp.stage_document')::oid AS stage) AS t;

-- name: create_batch_tables
-- They stay with the session, empty between transactions: creating them each time would cost a small refresh a quarter of its
-- time. `stage_document` has one row per document of the batch; where the source does not have it any more, all but its key is NULL.
-- A `row_address` says where the facts have an old row: under the refresh's lock nobody moves it before the batch replaces it.
-- In `stage_line` and `stage_payment` an amount is what was charged for a sale, or what was given back for a return.
CREATE TEMP TABLE stage_document (
    ordinal integer,
    document_kind text,
    document_id text,
    is_found boolean,
    tenant_id text,
    store_id text,
    customer_id text,
    occurred_at timestamptz,
    is_counted boolean
) ON COMMIT DELETE ROWS;

CREATE TEMP TABLE stage_line (
    ordinal integer,
    product_id text,
    units numeric,
    amount numeric,
    discount_amount numeric,
    tax_amount numeric,
    cost_amount numeric
) ON COMMIT DELETE ROWS;

CREATE TEMP TABLE stage_payment (
    ordinal integer,
    payment_method text,
    amount numeric
) ON COMMIT DELETE ROWS;

CREATE TEMP TABLE old_document (
    row_address tid,
    ordinal integer,
    document_key bigint,
    occurred_at timestamptz,
    tenant_key integer,
    store_key integer,
    customer_key integer,
    business_date date,
    business_hour smallint,
    sale_count smallint,
    return_count smallint,
    line_count integer,
    return_line_count integer,
    units numeric,
    returned_units numeric,
    gross_amount numeric,
    discount_amount numeric,
    tax_amount numeric,
    cost_amount numeric,
    refund_amount numeric
) ON COMMIT DELETE ROWS;

CREATE TEMP TABLE unchanged_document (
    ordinal integer,
    document_key bigint
) ON COMMIT DELETE ROWS;

CREATE TEMP TABLE new_document (
    ordinal integer,
    document_kind text,
    document_id text,
    tenant_id text,
    store_id text,
    customer_id text,
    occurred_at timestamptz,
    old_row_address tid,
    old_document_key bigint,
    document_key bigint,
    tenant_key integer,
    store_key integer,
    customer_key integer,
    business_date date,
    business_hour smallint,
    sale_count smallint,
    return_count smallint,
    line_count integer,
    return_line_count integer,
    units numeric,
    returned_units numeric,
    gross_amount numeric,
    discount_amount numeric,
    tax_amount numeric,
    cost_amount numeric,
    refund_amount numeric,
    problem text
) ON COMMIT DELETE ROWS;

CREATE TEMP TABLE delta_line (
    sign smallint,
    document_key bigint,
    tenant_key integer,
    store_key integer,
    product_key integer,
    business_date date,
    line_count smallint,
    return_line_count smallint,
    units numeric,
    returned_units numeric,
    gross_amount numeric,
    discount_amount numeric,
    tax_amount numeric,
    cost_amount numeric,
    refund_amount numeric,
    product_id text,
    row_address tid
) ON COMMIT DELETE ROWS;

CREATE TEMP TABLE delta_payment (
    sign smallint,
    document_key bigint,
    tenant_key integer,
    store_key integer,
    business_date date,
    payment_count smallint,
    refund_count smallint,
    payment_amount numeric,
    refund_amount numeric,
    payment_method text,
    row_address tid
) ON COMMIT DELETE ROWS;

-- name: drop_batch_tables
DROP TABLE IF EXISTS
pg_temp.stage_document,
pg_temp.stage_line,
pg_temp.stage_payment,
pg_temp.old_document,
pg_temp.unchanged_document,
pg_temp.new_document,
pg_temp.delta_line,
pg_temp.delta_payment;

-- name: clear_batch_tables
TRUNCATE
pg_temp.stage_document,
pg_temp.stage_line,
pg_temp.stage_payment,
pg_temp.old_document,
pg_temp.unchanged_document,
pg_temp.new_document,
pg_temp.delta_line,
pg_temp.delta_payment;

-- name: copy_stage_document
COPY pg_temp.stage_document FROM STDIN;

-- name: copy_stage_line
COPY pg_temp.stage_line FROM STDIN;

-- name: copy_stage_payment
COPY pg_temp.stage_payment FROM STDIN;

-- name: read_old_documents
-- What was last applied of these documents.
INSERT INTO pg_temp.old_document
SELECT
    f.ctid AS row_address,
    d.ordinal,
    f.document_key,
    f.occurred_at,
    f.tenant_key,
    f.store_key,
    f.customer_key,
    f.business_date,
    f.business_hour,
    f.sale_count,
    f.return_count,
    f.line_count,
    f.return_line_count,
    f.units,
    f.returned_units,
    f.gross_amount,
    f.discount_amount,
    f.tax_amount,
    f.cost_amount,
    f.refund_amount
FROM pg_temp.stage_document AS d
INNER JOIN salespulse.fact_document AS f ON d.document_id = f.document_id AND d.document_kind = f.document_kind;

-- name: resolve_documents
-- What the documents are now, in surrogate keys and business dates. `problem` says why one can't be counted. A sum is not
-- finite exactly when one of its terms is not, so the check costs one comparison a document.
INSERT INTO pg_temp.new_document
WITH line AS (
    SELECT
        l.ordinal,
        count(*) AS line_count,
        sum(l.units) AS units,
        sum(l.amount) AS amount,
        sum(l.discount_amount) AS discount_amount,
        sum(l.tax_amount) AS tax_amount,
        sum(l.cost_amount) AS cost_amount,
        bool_or(num_nulls(l.units, l.amount, l.discount_amount, l.tax_amount, l.cost_amount) > 0) AS is_missing
    FROM pg_temp.stage_line AS l
    GROUP BY l.ordinal
),

payment AS (
    SELECT
        p.ordinal,
        sum(p.amount) AS amount,
        bool_or(num_nulls(p.amount, p.payment_method) > 0) AS is_missing
    FROM pg_temp.stage_payment AS p
    GROUP BY p.ordinal
),

judged AS (
    SELECT
        d.ordinal,
        d.document_kind,
        d.document_id,
        d.tenant_id,
        d.store_id,
        d.customer_id,
        d.occurred_at,
        o.row_address AS old_row_address,
        o.document_key AS old_document_key,
        t.tenant_key,
        s.store_key,
        s.time_zone,
        c.customer_key,
        d.document_kind = 'sale' AS is_sale,
        coalesce(l.line_count, 0)::integer AS line_count,
        coalesce(l.units, 0) AS units,
        coalesce(l.amount, 0) AS amount,
        coalesce(l.discount_amount, 0) AS discount_amount,
        coalesce(l.tax_amount, 0) AS tax_amount,
        coalesce(l.cost_amount, 0) AS cost_amount,
        CASE
            WHEN NOT d.is_found THEN 'line without its document'
            WHEN t.tenant_key IS NULL OR t.is_deleted THEN 'unknown tenant'
            WHEN s.store_key IS NULL OR s.is_deleted THEN 'unknown store'
            WHEN NOT s.is_usable THEN 'unknown time zone'
            WHEN d.occurred_at IS NULL OR d.occurred_at < '1900-01-01' OR d.occurred_at >= '2200-01-01'
                THEN 'moment out of range'
            WHEN l.is_missing OR p.is_missing THEN 'missing amount'
            WHEN
                NOT (
                    abs(
                        coalesce(
                            l.units + l.amount + l.discount_amount + l.tax_amount + l.cost_amount,
                            0
                        ) + coalesce(p.amount, 0)
                    ) < 'infinity'::numeric
                )
                THEN 'amount not finite'
        END AS problem
    FROM pg_temp.stage_document AS d
    LEFT JOIN line AS l ON d.ordinal = l.ordinal
    LEFT JOIN payment AS p ON d.ordinal = p.ordinal
    LEFT JOIN pg_temp.old_document AS o ON d.ordinal = o.ordinal
    LEFT JOIN salespulse.dim_tenant AS t ON d.tenant_id = t.tenant_id
    LEFT JOIN salespulse.dim_store AS s ON t.tenant_key = s.tenant_key AND d.store_id = s.store_id
    LEFT JOIN salespulse.dim_customer AS c ON t.tenant_key = c.tenant_key AND d.customer_id = c.customer_id
    WHERE d.is_counted OR (NOT d.is_found AND (l.ordinal IS NOT NULL OR p.ordinal IS NOT NULL))
)

SELECT
    j.ordinal,
    j.document_kind,
    j.document_id,
    j.tenant_id,
    j.store_id,
    j.customer_id,
    j.occurred_at,
    j.old_row_address,
    j.old_document_key,
    CASE
        WHEN j.problem IS NULL
            THEN coalesce(j.old_document_key, nextval('salespulse.fact_document_document_key_seq'))
    END AS document_key,
    j.tenant_key,
    j.store_key,
    j.customer_key,
    CASE WHEN j.problem IS NULL THEN (j.occurred_at AT TIME ZONE j.time_zone)::date END AS business_date,
    CASE
        WHEN j.problem IS NULL THEN extract(HOUR FROM j.occurred_at AT TIME ZONE j.time_zone)::smallint
    END AS business_hour,
    j.is_sale::integer::smallint AS sale_count,
    (NOT j.is_sale)::integer::smallint AS return_count,
    CASE WHEN j.is_sale THEN j.line_count ELSE 0 END AS line_count,
    CASE WHEN j.is_sale THEN 0 ELSE j.line_count END AS return_line_count,
    CASE WHEN j.is_sale THEN j.units ELSE 0 END AS units,
    CASE WHEN j.is_sale THEN 0 ELSE j.units END AS returned_units,
    CASE WHEN j.is_sale THEN j.amount ELSE 0 END AS gross_amount,
    j.discount_amount,
    j.tax_amount,
    j.cost_amount,
    CASE WHEN j.is_sale THEN 0 ELSE j.amount END AS refund_amount,
    j.problem
FROM judged AS j;

-- name: infer_customers
-- A sale may arrive before its customer's own row: the member is made now and described later.
INSERT INTO salespulse.dim_customer (tenant_key, customer_id)
SELECT DISTINCT
    d.tenant_key,
    d.customer_id
FROM pg_temp.new_document AS d
WHERE d.problem IS NULL AND d.customer_key IS NULL AND d.customer_id IS NOT NULL;

-- name: key_inferred_customers
UPDATE pg_temp.new_document AS d
SET customer_key = c.customer_key
FROM salespulse.dim_customer AS c
WHERE
    d.problem IS NULL
    AND d.customer_key IS NULL
    AND d.tenant_key = c.tenant_key
    AND d.customer_id = c.customer_id;

-- name: resolve_lines
-- What the lines are now; those that were last applied join them with the opposite sign (`subtract_old_lines`).
INSERT INTO pg_temp.delta_line
SELECT
    1 AS sign,
    d.document_key,
    d.tenant_key,
    d.store_key,
    CASE WHEN l.product_id IS NULL THEN 0 ELSE p.product_key END AS product_key,
    d.business_date,
    d.sale_count AS line_count,
    d.return_count AS return_line_count,
    CASE WHEN d.sale_count = 1 THEN l.units ELSE 0 END AS units,
    CASE WHEN d.sale_count = 1 THEN 0 ELSE l.units END AS returned_units,
    CASE WHEN d.sale_count = 1 THEN l.amount ELSE 0 END AS gross_amount,
    l.discount_amount,
    l.tax_amount,
    l.cost_amount,
    CASE WHEN d.sale_count = 1 THEN 0 ELSE l.amount END AS refund_amount,
    l.product_id
FROM pg_temp.stage_line AS l
INNER JOIN pg_temp.new_document AS d ON l.ordinal = d.ordinal
LEFT JOIN salespulse.dim_product AS p ON d.tenant_key = p.tenant_key AND l.product_id = p.product_id
WHERE d.problem IS NULL;

-- name: infer_products
INSERT INTO salespulse.dim_product (tenant_key, product_id)
SELECT DISTINCT
    l.tenant_key,
    l.product_id
FROM pg_temp.delta_line AS l
WHERE l.product_key IS NULL;

-- name: key_inferred_products
UPDATE pg_temp.delta_line AS l
SET product_key = p.product_key
FROM salespulse.dim_product AS p
WHERE l.product_key IS NULL AND l.tenant_key = p.tenant_key AND l.product_id = p.product_id;

-- name: subtract_old_lines
-- The signed difference of lines: what is, less what was last applied.
INSERT INTO pg_temp.delta_line (
    sign,
    document_key,
    tenant_key,
    store_key,
    product_key,
    business_date,
    line_count,
    return_line_count,
    units,
    returned_units,
    gross_amount,
    discount_amount,
    tax_amount,
    cost_amount,
    refund_amount,
    row_address
)
SELECT
    -1,
    f.document_key,
    f.tenant_key,
    f.store_key,
    f.product_key,
    f.business_date,
    -f.line_count,
    -f.return_line_count,
    -f.units,
    -f.returned_units,
    -f.gross_amount,
    -f.discount_amount,
    -f.tax_amount,
    -f.cost_amount,
    -f.refund_amount,
    f.ctid
FROM pg_temp.old_document AS o
INNER JOIN salespulse.fact_document_line AS f ON o.document_key = f.document_key;

-- name: subtract_old_payments
INSERT INTO pg_temp.delta_payment
SELECT
    -1 AS sign,
    f.document_key,
    f.tenant_key,
    f.store_key,
    f.business_date,
    -f.payment_count AS payment_count,
    -f.refund_count AS refund_count,
    -f.payment_amount AS payment_amount,
    -f.refund_amount AS refund_amount,
    f.payment_method,
    f.ctid AS row_address
FROM pg_temp.old_document AS o
INNER JOIN salespulse.fact_document_payment AS f ON o.document_key = f.document_key;

-- name: resolve_payments
INSERT INTO pg_temp.delta_payment
SELECT
    1 AS sign,
    d.document_key,
    d.tenant_key,
    d.store_key,
    d.business_date,
    d.sale_count AS payment_count,
    d.return_count AS refund_count,
    CASE WHEN d.sale_count = 1 THEN p.amount ELSE 0 END AS payment_amount,
    CASE WHEN d.sale_count = 1 THEN 0 ELSE p.amount END AS refund_amount,
    p.payment_method
FROM pg_temp.stage_payment AS p
INNER JOIN pg_temp.new_document AS d ON p.ordinal = d.ordinal
WHERE d.problem IS NULL;

-- name: mark_unchanged_documents
-- A document that is what was last applied, asked for again by a backfill or touched in a column that nothing is made of: by itself
-- first, then the few that are left by their lines and payments. It would be subtracted and added again, and its tenant told of a change.
INSERT INTO pg_temp.unchanged_document
SELECT
    d.ordinal,
    o.document_key
FROM pg_temp.old_document AS o
INNER JOIN pg_temp.new_document AS d ON o.ordinal = d.ordinal
WHERE
    d.problem IS NULL
    AND (
        d.occurred_at,
        d.tenant_key,
        d.store_key,
        d.customer_key,
        d.business_date,
        d.business_hour,
        d.sale_count,
        d.return_count,
        d.line_count,
        d.return_line_count,
        d.units,
        d.returned_units,
        d.gross_amount,
        d.discount_amount,
        d.tax_amount,
        d.cost_amount,
        d.refund_amount
    ) IS NOT DISTINCT FROM (
        o.occurred_at,
        o.tenant_key,
        o.store_key,
        o.customer_key,
        o.business_date,
        o.business_hour,
        o.sale_count,
        o.return_count,
        o.line_count,
        o.return_line_count,
        o.units,
        o.returned_units,
        o.gross_amount,
        o.discount_amount,
        o.tax_amount,
        o.cost_amount,
        o.refund_amount
    );

-- name: unmark_documents_with_changed_lines
-- Lines are a multiset: each as often with one sign as with the other. What they repeat of their document counts too: it may be what
-- was changed by hand, and is to be repaired.
DELETE FROM pg_temp.unchanged_document AS s
WHERE
    s.document_key IN (
        SELECT l.document_key
        FROM pg_temp.delta_line AS l
        INNER JOIN pg_temp.unchanged_document AS c ON l.document_key = c.document_key
        GROUP BY
            l.document_key,
            l.tenant_key,
            l.store_key,
            l.product_key,
            l.business_date,
            l.sign * l.line_count,
            l.sign * l.return_line_count,
            l.sign * l.units,
            l.sign * l.returned_units,
            l.sign * l.gross_amount,
            l.sign * l.discount_amount,
            l.sign * l.tax_amount,
            l.sign * l.cost_amount,
            l.sign * l.refund_amount
        HAVING sum(l.sign) <> 0
    );

-- name: unmark_documents_with_changed_payments
DELETE FROM pg_temp.unchanged_document AS s
WHERE
    s.document_key IN (
        SELECT p.document_key
        FROM pg_temp.delta_payment AS p
        INNER JOIN pg_temp.unchanged_document AS c ON p.document_key = c.document_key
        GROUP BY
            p.document_key,
            p.tenant_key,
            p.store_key,
            p.business_date,
            p.payment_method,
            p.sign * p.payment_count,
            p.sign * p.refund_count,
            p.sign * p.payment_amount,
            p.sign * p.refund_amount
        HAVING sum(p.sign) <> 0
    );

-- name: drop_unchanged_lines
DELETE FROM pg_temp.delta_line AS l
USING pg_temp.unchanged_document AS s
WHERE l.document_key = s.document_key;

-- name: drop_unchanged_payments
DELETE FROM pg_temp.delta_payment AS p
USING pg_temp.unchanged_document AS s
WHERE p.document_key = s.document_key;

-- name: drop_unchanged_old_documents
DELETE FROM pg_temp.old_document AS o
USING pg_temp.unchanged_document AS s
WHERE o.ordinal = s.ordinal;

-- name: drop_unchanged_new_documents
DELETE FROM pg_temp.new_document AS d
USING pg_temp.unchanged_document AS s
WHERE d.ordinal = s.ordinal;

-- name: remove_old_lines
DELETE FROM salespulse.fact_document_line AS f
WHERE f.ctid = any(array(SELECT l.row_address FROM pg_temp.delta_line AS l WHERE l.sign = -1));

-- name: remove_old_payments
DELETE FROM salespulse.fact_document_payment AS f
WHERE f.ctid = any(array(SELECT p.row_address FROM pg_temp.delta_payment AS p WHERE p.sign = -1));

-- name: remove_deleted_documents
DELETE FROM salespulse.fact_document AS f
WHERE
    f.ctid = any(
        array(
            SELECT o.row_address
            FROM pg_temp.old_document AS o
            WHERE NOT EXISTS (SELECT FROM pg_temp.new_document AS d WHERE d.ordinal = o.ordinal AND d.problem IS NULL)
        )
    );

-- name: update_documents
UPDATE salespulse.fact_document AS f
SET
    occurred_at = d.occurred_at,
    tenant_key = d.tenant_key,
    store_key = d.store_key,
    customer_key = d.customer_key,
    business_date = d.business_date,
    business_hour = d.business_hour,
    sale_count = d.sale_count,
    return_count = d.return_count,
    line_count = d.line_count,
    return_line_count = d.return_line_count,
    units = d.units,
    returned_units = d.returned_units,
    gross_amount = d.gross_amount,
    discount_amount = d.discount_amount,
    tax_amount = d.tax_amount,
    cost_amount = d.cost_amount,
    refund_amount = d.refund_amount
FROM pg_temp.new_document AS d
WHERE d.problem IS NULL AND d.old_row_address = f.ctid;

-- name: insert_documents
INSERT INTO salespulse.fact_document (
    document_key,
    occurred_at,
    tenant_key,
    store_key,
    customer_key,
    business_date,
    business_hour,
    sale_count,
    return_count,
    line_count,
    return_line_count,
    units,
    returned_units,
    gross_amount,
    discount_amount,
    tax_amount,
    cost_amount,
    refund_amount,
    document_kind,
    document_id
)
OVERRIDING SYSTEM VALUE
SELECT
    d.document_key,
    d.occurred_at,
    d.tenant_key,
    d.store_key,
    d.customer_key,
    d.business_date,
    d.business_hour,
    d.sale_count,
    d.return_count,
    d.line_count,
    d.return_line_count,
    d.units,
    d.returned_units,
    d.gross_amount,
    d.discount_amount,
    d.tax_amount,
    d.cost_amount,
    d.refund_amount,
    d.document_kind,
    d.document_id
FROM pg_temp.new_document AS d
WHERE d.problem IS NULL AND d.old_document_key IS NULL;

-- name: insert_lines
INSERT INTO salespulse.fact_document_line (
    document_key,
    tenant_key,
    store_key,
    product_key,
    business_date,
    line_count,
    return_line_count,
    units,
    returned_units,
    gross_amount,
    discount_amount,
    tax_amount,
    cost_amount,
    refund_amount
)
SELECT
    l.document_key,
    l.tenant_key,
    l.store_key,
    l.product_key,
    l.business_date,
    l.line_count,
    l.return_line_count,
    l.units,
    l.returned_units,
    l.gross_amount,
    l.discount_amount,
    l.tax_amount,
    l.cost_amount,
    l.refund_amount
FROM pg_temp.delta_line AS l
WHERE l.sign = 1;

-- name: insert_payments
INSERT INTO salespulse.fact_document_payment (
    document_key,
    tenant_key,
    store_key,
    business_date,
    payment_count,
    refund_count,
    payment_amount,
    refund_amount,
    payment_method
)
SELECT
    p.document_key,
    p.tenant_key,
    p.store_key,
    p.business_date,
    p.payment_count,
    p.refund_count,
    p.payment_amount,
    p.refund_amount,
    p.payment_method
FROM pg_temp.delta_payment AS p
WHERE p.sign = 1;

-- name: release_quarantine
DELETE FROM salespulse.quarantined_document AS q
USING pg_temp.stage_document AS s
WHERE
    q.document_id = s.document_id
    AND q.document_kind = s.document_kind
    AND NOT EXISTS (SELECT FROM pg_temp.new_document AS d WHERE d.ordinal = s.ordinal AND d.problem IS NOT NULL);

-- name: quarantine
INSERT INTO salespulse.quarantined_document AS q (document_kind, document_id, tenant_id, store_id, reason, detail)
SELECT
    d.document_kind,
    d.document_id,
    d.tenant_id,
    d.store_id,
    d.problem,
    format(
        '%s of tenant %L in store %L at %s: %s',
        d.document_kind, d.tenant_id, d.store_id, coalesce(d.occurred_at::text, 'no moment'), d.problem
    )
    || CASE WHEN d.problem = 'unknown time zone' THEN format(' %L', s.time_zone) ELSE '' END AS detail
FROM pg_temp.new_document AS d
LEFT JOIN salespulse.dim_store AS s ON d.store_key = s.store_key
WHERE d.problem IS NOT NULL
ON CONFLICT (document_id, document_kind) DO UPDATE
    SET
        tenant_id = excluded.tenant_id,
        store_id = excluded.store_id,
        reason = excluded.reason,
        detail = excluded.detail;

-- name: use_small_samples
-- Row counts are what the planner needs to know of the batch; a sample of 300 rows costs next to nothing.
SELECT set_config('default_statistics_target', '1', TRUE);

-- name: analyze_stage
ANALYZE pg_temp.stage_document, pg_temp.stage_line;

-- name: analyze_documents_and_payments
ANALYZE pg_temp.stage_payment, pg_temp.new_document;

-- name: analyze_delta_line
ANALYZE pg_temp.delta_line;

-- name: fix_join_order
-- The joins are written in the order that is best; looking for another one takes longer than the joins of a small batch.
SELECT set_config('join_collapse_limit', '1', TRUE);

-- name: reset_join_order
SELECT set_config('join_collapse_limit', '8', TRUE);

-- name: disable_hash_aggregation
SELECT set_config('enable_hashagg', 'off', TRUE);

-- name: enable_hash_aggregation
SELECT set_config('enable_hashagg', 'on', TRUE);
