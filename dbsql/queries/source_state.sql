-- What changed sales, returns and dimension rows are now: streamed from the replica's snapshot into the warehouse's stage.
-- `{sale}` and the like are the application's own key types. A document's ordinal is its place in the batch, counted from
-- 1, sales first.

-- name: copy_documents
-- Every key of the batch comes back, found or not.
COPY (
    SELECT
        k.ordinal::integer,
        'sale',
        k.key,
        s.sale_ref IS NOT null,
        s.tenant_id,
        s.store_id,
        s.customer_id,
        s.sold_at,
        s.is_counted
    FROM unnest(%(sale_keys)s::text[]) WITH ORDINALITY AS k (key, ordinal)
    LEFT JOIN salespulse_source.sale AS s ON s.sale_ref = k.key::{sale}
    UNION ALL
    SELECT
        k.ordinal::integer + %(sale_count)s,
        'return',
        k.key,
        r.sale_return_ref IS NOT null,
        r.tenant_id,
        r.store_id,
        r.customer_id,
        r.returned_at,
        r.is_counted
    FROM unnest(%(return_keys)s::text[]) WITH ORDINALITY AS k (key, ordinal)
    LEFT JOIN salespulse_source.sale_return AS r ON r.sale_return_ref = k.key::{return}
) TO STDOUT;

-- name: copy_lines
COPY (
    SELECT
        k.ordinal::integer,
        l.product_id,
        l.units,
        l.gross_amount,
        l.discount_amount,
        l.tax_amount,
        l.cost_amount
    FROM unnest(%(sale_keys)s::text[]::{sale}[]) WITH ORDINALITY AS k (ref, ordinal)
    INNER JOIN salespulse_source.sale_line AS l ON k.ref = l.sale_ref
    UNION ALL
    SELECT
        k.ordinal::integer + %(sale_count)s,
        l.product_id,
        l.returned_units,
        l.refund_amount,
        0,
        0,
        -l.cost_amount
    FROM unnest(%(return_keys)s::text[]::{return}[]) WITH ORDINALITY AS k (ref, ordinal)
    INNER JOIN salespulse_source.sale_return_line AS l ON k.ref = l.sale_return_ref
) TO STDOUT;

-- name: copy_payments
COPY (
    SELECT
        k.ordinal::integer,
        p.payment_method,
        p.amount
    FROM unnest(%(sale_keys)s::text[]::{sale}[]) WITH ORDINALITY AS k (ref, ordinal)
    INNER JOIN salespulse_source.sale_payment AS p ON k.ref = p.sale_ref
    UNION ALL
    SELECT
        k.ordinal::integer + %(sale_count)s,
        p.payment_method,
        p.amount
    FROM unnest(%(return_keys)s::text[]::{return}[]) WITH ORDINALITY AS k (ref, ordinal)
    INNER JOIN salespulse_source.sale_return_payment AS p ON k.ref = p.sale_return_ref
) TO STDOUT;

-- name: copy_document_keys
-- Every sale and return of a range of moments, oldest first, so that neighbours in time land in the same batch and share
-- rollup rows.
COPY (
    SELECT
        d.document_kind,
        d.document_id
    FROM (
        SELECT
            'sale' AS document_kind,
            s.sale_id AS document_id,
            s.sold_at AS occurred_at
        FROM salespulse_source.sale AS s
        WHERE s.is_counted AND (%(is_whole)s OR (s.sold_at >= %(from_at)s AND s.sold_at < %(to_at)s))
        UNION ALL
        SELECT
            'return' AS document_kind,
            r.sale_return_id AS document_id,
            r.returned_at AS occurred_at
        FROM salespulse_source.sale_return AS r
        WHERE r.is_counted AND (%(is_whole)s OR (r.returned_at >= %(from_at)s AND r.returned_at < %(to_at)s))
    ) AS d
    ORDER BY d.occurred_at
) TO STDOUT;

-- name: copy_orphan_sale_keys
-- Sales that are not there, but their lines or payments are. A sale that does not count leaves no trace in the warehouse, so
-- nothing but the source can tell what hung on it.
COPY (
    SELECT
        'sale',
        o.sale_ref::text
    FROM (
        SELECT l.sale_ref FROM salespulse_source.sale_line AS l
        UNION
        SELECT p.sale_ref FROM salespulse_source.sale_payment AS p
    ) AS o
    WHERE
        o.sale_ref IS NOT null
        AND NOT EXISTS (SELECT FROM salespulse_source.sale AS s WHERE s.sale_ref = o.sale_ref)
) TO STDOUT;

-- name: copy_orphan_return_keys
-- The same for returns.
COPY (
    SELECT
        'return',
        o.sale_return_ref::text
    FROM (
        SELECT l.sale_return_ref FROM salespulse_source.sale_return_line AS l
        UNION
        SELECT p.sale_return_ref FROM salespulse_source.sale_return_payment AS p
    ) AS o
    WHERE
        o.sale_return_ref IS NOT null
        AND NOT EXISTS (SELECT FROM salespulse_source.sale_return AS r WHERE r.sale_return_ref = o.sale_return_ref)
) TO STDOUT;

-- name: copy_fingerprints
-- One 64-bit fingerprint per sale and return of a range of moments, from all that the facts take of it. Lines and payments
-- are summed, so their order does not matter; numerics that are equal have equal hashes, whatever their scale. Sorted, so
-- that the server does all of its work before it sends the first row: the reader is busy with something else meanwhile.
COPY (
    SELECT
        'sale' AS document_kind,
        s.sale_id AS document_id,
        hash_record_extended(
            row(
                s.tenant_id::text,
                s.store_id::text,
                s.customer_id::text,
                s.sold_at,
                (
                    SELECT
                        sum(
                            hash_record_extended(
                                row(
                                    l.product_id::text,
                                    1::smallint,
                                    0::smallint,
                                    l.units::numeric,
                                    0::numeric,
                                    l.gross_amount::numeric,
                                    l.discount_amount::numeric,
                                    l.tax_amount::numeric,
                                    l.cost_amount::numeric,
                                    0::numeric
                                ),
                                0
                            )
                        )
                    FROM salespulse_source.sale_line AS l
                    WHERE l.sale_ref = s.sale_ref
                ),
                (
                    SELECT
                        sum(
                            hash_record_extended(
                                row(p.payment_method::text, 1::smallint, 0::smallint, p.amount::numeric, 0::numeric), 0
                            )
                        )
                    FROM salespulse_source.sale_payment AS p
                    WHERE p.sale_ref = s.sale_ref
                )
            ),
            0
        ) AS fingerprint
    FROM salespulse_source.sale AS s
    WHERE s.is_counted AND s.sold_at >= %(from_at)s AND s.sold_at < %(to_at)s
    UNION ALL
    SELECT
        'return' AS document_kind,
        r.sale_return_id AS document_id,
        hash_record_extended(
            row(
                r.tenant_id::text,
                r.store_id::text,
                r.customer_id::text,
                r.returned_at,
                (
                    SELECT
                        sum(
                            hash_record_extended(
                                row(
                                    l.product_id::text,
                                    0::smallint,
                                    1::smallint,
                                    0::numeric,
                                    l.returned_units::numeric,
                                    0::numeric,
                                    0::numeric,
                                    0::numeric,
                                    (-l.cost_amount)::numeric,
                                    l.refund_amount::numeric
                                ),
                                0
                            )
                        )
                    FROM salespulse_source.sale_return_line AS l
                    WHERE l.sale_return_ref = r.sale_return_ref
                ),
                (
                    SELECT
                        sum(
                            hash_record_extended(
                                row(p.payment_method::text, 0::smallint, 1::smallint, 0::numeric, p.amount::numeric), 0
                            )
                        )
                    FROM salespulse_source.sale_return_payment AS p
                    WHERE p.sale_return_ref = r.sale_return_ref
                )
            ),
            0
        ) AS fingerprint
    FROM salespulse_source.sale_return AS r
    WHERE r.is_counted AND r.returned_at >= %(from_at)s AND r.returned_at < %(to_at)s
    ORDER BY document_id
) TO STDOUT;

-- name: history_months
-- The first day of each month that may have business dates of the source: a moment is dated at most a day earlier or later than in
-- UTC. Of those that a document can have only (see `resolve_documents`).
WITH occurred AS (
    SELECT DISTINCT date_trunc('day', s.sold_at, 'UTC') AS day
    FROM salespulse_source.sale AS s
    WHERE s.sold_at >= '1900-01-01' AND s.sold_at < '2200-01-01'
    UNION
    SELECT DISTINCT date_trunc('day', r.returned_at, 'UTC') AS day
    FROM salespulse_source.sale_return AS r
    WHERE r.returned_at >= '1900-01-01' AND r.returned_at < '2200-01-01'
)

SELECT DISTINCT date_trunc('month', (o.day AT TIME ZONE 'UTC')::date + n.days)::date AS month
FROM occurred AS o
CROSS JOIN (VALUES (-1), (1)) AS n (days);

-- name: copy_tenants
COPY (
    SELECT
        t.tenant_id,
        t.name,
        t.time_zone
    FROM salespulse_source.tenant AS t
    WHERE %(is_whole)s OR t.tenant_ref = any(%(keys)s::text[]::{tenant}[])
) TO STDOUT;

-- name: copy_stores
COPY (
    SELECT
        s.tenant_id,
        s.store_id,
        s.name,
        s.time_zone
    FROM salespulse_source.store AS s
    WHERE %(is_whole)s OR s.store_ref = any(%(keys)s::text[]::{store}[])
) TO STDOUT;

-- name: copy_products
-- A changed product group changes each of its products.
COPY (
    SELECT
        p.tenant_id,
        p.product_id,
        p.sku,
        p.name,
        p.product_group_id,
        p.product_group_name
    FROM salespulse_source.product AS p
    WHERE
        %(is_whole)s
        OR p.product_ref = any(%(keys)s::text[]::{product}[])
        OR p.product_group_ref = any(%(group_keys)s::text[]::{product_group}[])
) TO STDOUT;

-- name: copy_customers
COPY (
    SELECT
        c.tenant_id,
        c.customer_id,
        c.name
    FROM salespulse_source.customer AS c
    WHERE %(is_whole)s OR c.customer_ref = any(%(keys)s::text[]::{customer}[])
) TO STDOUT;
