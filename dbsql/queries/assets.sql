-- What Dagster shows of the tables: sizes, previews, pending changes, and what its checks count.

-- name: flush_statistics
-- A session reports what it wrote about once a second; this lets `row_estimates` count it at once.
SELECT pg_stat_force_next_flush();

-- name: row_estimates
-- PostgreSQL's own running count of live rows per table of the warehouse: no scan, and close enough to watch growth. The
-- count restarts after a crash; until the next ANALYZE the last one's estimate is closer.
SELECT
    c.relname AS table_name,
    greatest(pg_stat_get_live_tuples(c.oid), c.reltuples::bigint, 0) AS live_rows
FROM pg_class AS c
WHERE c.relnamespace = 'salespulse'::regnamespace AND c.relkind IN ('r', 'p');

-- name: preview_rollup
-- The largest rows of a rollup's newest day or month.
SELECT {columns}
FROM {table} AS r
WHERE r.{date_column} = (SELECT max(m.{date_column}) FROM {table} AS m)
ORDER BY {measure} DESC
LIMIT %(row_limit)s;

-- name: net_by_date
-- Net sales of the newest dates that have any, over all tenants, for the small plot: the oldest first.
SELECT
    n.business_date,
    n.net_amount
FROM (
    SELECT
        d.business_date,
        sum(d.net_amount) AS net_amount
    FROM salespulse.daily_store_sales AS d
    WHERE d.business_date > (SELECT max(m.business_date) FROM salespulse.daily_store_sales AS m) - %(days)s::integer
    GROUP BY d.business_date
) AS n
ORDER BY n.business_date;

-- name: pending_by_entity
-- On the replica: visible changes past the watermark, per entity; counts no further than `row_limit`.
SELECT
    p.entity,
    count(*) AS pending_changes
FROM (
    SELECT l.entity
    FROM salespulse_source.change_log AS l
    WHERE l.xid >= %(horizon)s::text::xid8 AND NOT l.xid = any(%(seen)s::text[]::xid8[])
    LIMIT %(row_limit)s
) AS p
GROUP BY p.entity;

-- name: orphan_keys
-- Rows whose keys lead nowhere, per table and column: always none, unless someone wrote by hand. Product 0 stands for
-- lines without a product and needs no row.
SELECT
    'fact_document' AS table_name,
    'store_key' AS column_name,
    count(*) AS orphans
FROM salespulse.fact_document AS f
WHERE NOT EXISTS (SELECT FROM salespulse.dim_store AS d WHERE d.store_key = f.store_key AND d.tenant_key = f.tenant_key)
UNION ALL
SELECT
    'fact_document' AS table_name,
    'customer_key' AS column_name,
    count(*) AS orphans
FROM salespulse.fact_document AS f
WHERE
    f.customer_key IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM salespulse.dim_customer AS d
        WHERE d.customer_key = f.customer_key AND d.tenant_key = f.tenant_key
    )
UNION ALL
SELECT
    'fact_document_line' AS table_name,
    'document_key' AS column_name,
    count(*) AS orphans
FROM salespulse.fact_document_line AS f
WHERE NOT EXISTS (SELECT FROM salespulse.fact_document AS d WHERE d.document_key = f.document_key)
UNION ALL
SELECT
    'fact_document_line' AS table_name,
    'product_key' AS column_name,
    count(*) AS orphans
FROM salespulse.fact_document_line AS f
WHERE
    f.product_key <> 0
    AND NOT EXISTS (
        SELECT FROM salespulse.dim_product AS d
        WHERE d.product_key = f.product_key AND d.tenant_key = f.tenant_key
    )
UNION ALL
SELECT
    'fact_document_payment' AS table_name,
    'document_key' AS column_name,
    count(*) AS orphans
FROM salespulse.fact_document_payment AS f
WHERE NOT EXISTS (SELECT FROM salespulse.fact_document AS d WHERE d.document_key = f.document_key);

-- name: count_pending_reason
-- What is left in the queue of one backfill.
SELECT count(*) AS documents FROM salespulse.pending_document AS p WHERE p.reason = %(reason)s;
