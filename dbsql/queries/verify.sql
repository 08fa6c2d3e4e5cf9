-- Exact verification: what the source says now, staged and resolved like a refresh stages it, against facts and rollups.

-- name: create_staged_source
CREATE TEMP TABLE verify_document (LIKE salespulse.fact_document) ON COMMIT DROP;
CREATE TEMP TABLE verify_document_line (LIKE salespulse.fact_document_line) ON COMMIT DROP;
CREATE TEMP TABLE verify_document_payment (LIKE salespulse.fact_document_payment) ON COMMIT DROP;

-- name: clear_staged_source
TRUNCATE pg_temp.verify_document, pg_temp.verify_document_line, pg_temp.verify_document_payment;

-- name: stage_documents
-- Of the documents that were staged, those whose business date lies in the range: the source was asked for more.
INSERT INTO pg_temp.verify_document (
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
WHERE d.problem IS NULL AND d.business_date BETWEEN %(from_date)s AND %(to_date)s;

-- name: stage_lines
INSERT INTO pg_temp.verify_document_line (
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
WHERE l.business_date BETWEEN %(from_date)s AND %(to_date)s;

-- name: stage_payments
INSERT INTO pg_temp.verify_document_payment (
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
WHERE p.business_date BETWEEN %(from_date)s AND %(to_date)s;

-- name: analyze_staged_source
ANALYZE pg_temp.verify_document, pg_temp.verify_document_line, pg_temp.verify_document_payment;

-- name: list_drifted_documents
-- Keys of documents whose header is not what the source says. Every row counts +1 on the source's side and -1 on the
-- facts' side; what is equal cancels out.
SELECT DISTINCT c.document_key
FROM (
    SELECT
        1 AS side,
        s.*
    FROM pg_temp.verify_document AS s
    UNION ALL
    SELECT
        -1 AS side,
        f.*
    FROM salespulse.fact_document AS f
    WHERE f.business_date BETWEEN %(from_date)s AND %(to_date)s
) AS c
GROUP BY
    c.document_key,
    c.occurred_at,
    c.tenant_key,
    c.store_key,
    c.customer_key,
    c.business_date,
    c.business_hour,
    c.sale_count,
    c.return_count,
    c.line_count,
    c.return_line_count,
    c.units,
    c.returned_units,
    c.gross_amount,
    c.discount_amount,
    c.tax_amount,
    c.cost_amount,
    c.refund_amount,
    c.document_kind,
    c.document_id
HAVING sum(c.side) <> 0;

-- name: list_drifted_lines
-- The same for lines.
SELECT DISTINCT c.document_key
FROM (
    SELECT
        1 AS side,
        s.*
    FROM pg_temp.verify_document_line AS s
    UNION ALL
    SELECT
        -1 AS side,
        f.*
    FROM salespulse.fact_document_line AS f
    WHERE f.business_date BETWEEN %(from_date)s AND %(to_date)s
) AS c
GROUP BY
    c.document_key,
    c.tenant_key,
    c.store_key,
    c.product_key,
    c.business_date,
    c.line_count,
    c.return_line_count,
    c.units,
    c.returned_units,
    c.gross_amount,
    c.discount_amount,
    c.tax_amount,
    c.cost_amount,
    c.refund_amount
HAVING sum(c.side) <> 0;

-- name: list_drifted_payments
-- The same for payments.
SELECT DISTINCT c.document_key
FROM (
    SELECT
        1 AS side,
        s.*
    FROM pg_temp.verify_document_payment AS s
    UNION ALL
    SELECT
        -1 AS side,
        f.*
    FROM salespulse.fact_document_payment AS f
    WHERE f.business_date BETWEEN %(from_date)s AND %(to_date)s
) AS c
GROUP BY
    c.document_key,
    c.tenant_key,
    c.store_key,
    c.business_date,
    c.payment_count,
    c.refund_count,
    c.payment_amount,
    c.refund_amount,
    c.payment_method
HAVING sum(c.side) <> 0;

-- name: list_natural_keys
-- The natural keys of documents, wherever they stand; a key that stands nowhere has left lines or payments behind.
SELECT DISTINCT
    k.document_key,
    coalesce(s.document_kind, f.document_kind) AS document_kind,
    coalesce(s.document_id, f.document_id) AS document_id
FROM unnest(%(document_keys)s::bigint[]) AS k (document_key)
LEFT JOIN pg_temp.verify_document AS s ON k.document_key = s.document_key
LEFT JOIN salespulse.fact_document AS f ON k.document_key = f.document_key
ORDER BY k.document_key;

-- name: remove_stray_lines
-- Lines whose document does not exist: only a hand or a broken disk leaves such.
DELETE FROM salespulse.fact_document_line AS f
WHERE
    f.document_key = any(%(document_keys)s::bigint[])
    AND NOT EXISTS (SELECT FROM salespulse.fact_document AS d WHERE d.document_key = f.document_key);

-- name: remove_stray_payments
DELETE FROM salespulse.fact_document_payment AS f
WHERE
    f.document_key = any(%(document_keys)s::bigint[])
    AND NOT EXISTS (SELECT FROM salespulse.fact_document AS d WHERE d.document_key = f.document_key);

-- name: list_fact_months
-- The first day of each month that has facts, lines and payments without their document among them.
SELECT DISTINCT date_trunc('month', d.business_date)::date AS month
FROM (
    SELECT DISTINCT f.business_date FROM salespulse.fact_document AS f
    UNION
    SELECT DISTINCT l.business_date FROM salespulse.fact_document_line AS l
    UNION
    SELECT DISTINCT p.business_date FROM salespulse.fact_document_payment AS p
) AS d;

-- name: natural_keys
-- The application's own ids of a tenant and a store.
SELECT
    (SELECT t.tenant_id FROM salespulse.dim_tenant AS t WHERE t.tenant_key = %(tenant_key)s) AS tenant_id,
    (SELECT s.store_id FROM salespulse.dim_store AS s WHERE s.store_key = %(store_key)s) AS store_id;

-- name: count_staged
SELECT
    (SELECT count(*) FROM pg_temp.verify_document) AS documents,
    (SELECT count(*) FROM pg_temp.verify_document_line) AS lines;

-- name: list_fact_dates
-- Every date on which the facts have something of these documents.
SELECT DISTINCT f.business_date
FROM salespulse.fact_document AS f
WHERE f.document_key = any(%(document_keys)s::bigint[])
UNION
SELECT DISTINCT l.business_date
FROM salespulse.fact_document_line AS l
WHERE l.document_key = any(%(document_keys)s::bigint[]);

-- name: mark_tenants_changed
-- Rollup rows of these tenants were repaired without any document changing, so the triggers of tenant_version have not fired:
-- cached answers must expire.
INSERT INTO salespulse.tenant_version AS v (tenant_key, changed_at)
SELECT
    k.tenant_key,
    clock_timestamp() AS changed_at
FROM unnest(%(tenant_keys)s::integer[]) AS k (tenant_key)
ORDER BY k.tenant_key
ON CONFLICT (tenant_key) DO UPDATE
    SET changed_at = greatest(excluded.changed_at, v.changed_at + interval '1 microsecond');
