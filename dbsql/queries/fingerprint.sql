-- Is a range of dates exact? Asked with fingerprints, which is several times as fast as comparing every row; where the
-- answer is no, verify.sql finds out what differs.

-- name: create_source
CREATE TEMP TABLE source_fingerprint (
    document_kind text,
    document_id text,
    fingerprint bigint
) ON COMMIT DROP;

-- name: copy_source
COPY pg_temp.source_fingerprint FROM STDIN;

-- name: analyze_source
ANALYZE pg_temp.source_fingerprint;

-- name: drop_source
DROP TABLE pg_temp.source_fingerprint;

-- name: suspects
-- Documents whose facts are not those of the source, or not sound in themselves: every line and payment bears the keys and
-- the date of its document, the document bears their sums and the local date and hour of its moment. `from_date` and
-- `to_date` are what is asked about, `early_date` and `late_date` what a moment in the source's range may be dated as.
WITH line AS MATERIALIZED (
    SELECT
        l.document_key,
        l.tenant_key,
        l.store_key,
        l.business_date,
        sum(
            hash_record_extended(
                row(
                    p.product_id::text,
                    l.line_count,
                    l.return_line_count,
                    l.units,
                    l.returned_units,
                    l.gross_amount,
                    l.discount_amount,
                    l.tax_amount,
                    l.cost_amount,
                    l.refund_amount
                ),
                0
            )
        ) AS fingerprint,
        sum(l.line_count) AS line_count,
        sum(l.return_line_count) AS return_line_count,
        sum(l.units) AS units,
        sum(l.returned_units) AS returned_units,
        sum(l.gross_amount) AS gross_amount,
        sum(l.discount_amount) AS discount_amount,
        sum(l.tax_amount) AS tax_amount,
        sum(l.cost_amount) AS cost_amount,
        sum(l.refund_amount) AS refund_amount,
        bool_and(l.product_key = 0 OR p.product_key IS NOT NULL) AS has_products
    FROM salespulse.fact_document_line AS l
    LEFT JOIN salespulse.dim_product AS p ON l.product_key = p.product_key
    WHERE l.business_date BETWEEN %(early_date)s AND %(late_date)s
    GROUP BY l.document_key, l.tenant_key, l.store_key, l.business_date
),

payment AS MATERIALIZED (
    SELECT
        p.document_key,
        p.tenant_key,
        p.store_key,
        p.business_date,
        sum(
            hash_record_extended(
                row(p.payment_method::text, p.payment_count, p.refund_count, p.payment_amount, p.refund_amount), 0
            )
        ) AS fingerprint
    FROM salespulse.fact_document_payment AS p
    WHERE p.business_date BETWEEN %(early_date)s AND %(late_date)s
    GROUP BY p.document_key, p.tenant_key, p.store_key, p.business_date
),

document AS (
    SELECT
        d.document_key,
        d.document_kind,
        d.document_id,
        d.tenant_key,
        d.store_key,
        d.business_date,
        d.line_count,
        d.return_line_count,
        d.units,
        d.returned_units,
        d.gross_amount,
        d.discount_amount,
        d.tax_amount,
        d.cost_amount,
        d.refund_amount,
        d.occurred_at,
        t.tenant_id,
        s.store_id,
        c.customer_id,
        d.business_date = (d.occurred_at AT TIME ZONE s.time_zone)::date
        AND d.business_hour = extract(HOUR FROM d.occurred_at AT TIME ZONE s.time_zone)
        AND d.sale_count = (d.document_kind = 'sale')::integer
        AND d.return_count = (d.document_kind = 'return')::integer
        AND (d.customer_key IS NULL OR c.tenant_key = d.tenant_key)
        AND s.tenant_key = d.tenant_key
        AND s.is_usable AS is_sound
    FROM salespulse.fact_document AS d
    LEFT JOIN salespulse.dim_tenant AS t ON d.tenant_key = t.tenant_key
    LEFT JOIN salespulse.dim_store AS s ON d.store_key = s.store_key
    LEFT JOIN salespulse.dim_customer AS c ON d.customer_key = c.customer_key
    WHERE d.business_date BETWEEN %(early_date)s AND %(late_date)s
),

fact AS (
    SELECT
        d.document_kind,
        d.document_id,
        coalesce(d.business_date, l.business_date, p.business_date) AS business_date,
        hash_record_extended(
            row(d.tenant_id::text, d.store_id::text, d.customer_id::text, d.occurred_at, l.fingerprint, p.fingerprint), 0
        ) AS fingerprint,
        d.is_sound
        AND coalesce(l.has_products, TRUE)
        AND d.line_count = coalesce(l.line_count, 0)
        AND d.return_line_count = coalesce(l.return_line_count, 0)
        AND d.units = coalesce(l.units, 0)
        AND d.returned_units = coalesce(l.returned_units, 0)
        AND d.gross_amount = coalesce(l.gross_amount, 0)
        AND d.discount_amount = coalesce(l.discount_amount, 0)
        AND d.tax_amount = coalesce(l.tax_amount, 0)
        AND d.cost_amount = coalesce(l.cost_amount, 0)
        AND d.refund_amount = coalesce(l.refund_amount, 0) AS is_sound
    FROM document AS d
    FULL JOIN line AS l
        ON
            d.document_key = l.document_key
            AND d.tenant_key = l.tenant_key
            AND d.store_key = l.store_key
            AND d.business_date = l.business_date
    FULL JOIN payment AS p
        ON
            d.document_key = p.document_key
            AND d.tenant_key = p.tenant_key
            AND d.store_key = p.store_key
            AND d.business_date = p.business_date
)

SELECT
    coalesce(f.document_kind, s.document_kind) AS document_kind,
    coalesce(f.document_id, s.document_id) AS document_id
FROM fact AS f
FULL JOIN pg_temp.source_fingerprint AS s ON f.document_id = s.document_id AND f.document_kind = s.document_kind
WHERE
    (f.fingerprint IS DISTINCT FROM s.fingerprint OR f.is_sound IS NOT TRUE)
    AND (s.document_id IS NOT NULL OR f.business_date BETWEEN %(from_date)s AND %(to_date)s)
LIMIT %(row_limit)s;

-- name: count_unexplained
-- Of the suspects, as they were staged: those that are not merely waiting in quarantine with nothing in the facts.
SELECT count(*) AS unexplained
FROM pg_temp.stage_document AS s
LEFT JOIN pg_temp.new_document AS d ON s.ordinal = d.ordinal
WHERE d.problem IS NULL OR d.old_document_key IS NOT NULL;

-- name: count_facts
SELECT
    (SELECT count(*) FROM salespulse.fact_document AS d WHERE d.business_date BETWEEN %(from_date)s AND %(to_date)s)
        AS documents,
    (SELECT count(*) FROM salespulse.fact_document_line AS l WHERE l.business_date BETWEEN %(from_date)s AND %(to_date)s)
        AS lines;
