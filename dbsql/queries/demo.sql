-- What the demonstration checks the rollups against: plain SQL over the application's tables, using nothing of this
-- project's views.

-- name: application_totals
-- One row per tenant: documents and lines that count, and money.
SELECT
    t.id AS tenant_id,
    t.name,
    coalesce(sale.sales, 0) AS sale_count,
    coalesce(returned.returns, 0) AS return_count,
    coalesce(sale.lines, 0) + coalesce(returned.lines, 0) AS line_count,
    coalesce(sale.gross, 0) AS gross_amount,
    coalesce(sale.gross, 0) - coalesce(sale.discount, 0) - coalesce(returned.refund, 0) AS net_amount
FROM retail.tenants AS t
LEFT JOIN (
    SELECT
        s.tenant_id,
        count(DISTINCT s.id) AS sales,
        count(i.id) AS lines,
        sum(i.quantity * i.unit_price) AS gross,
        sum(i.discount_amount) AS discount
    FROM retail.sales AS s
    LEFT JOIN retail.sale_items AS i ON s.id = i.sale_id
    WHERE s.status = 'completed' AND s.deleted_at IS NULL
    GROUP BY s.tenant_id
) AS sale ON t.id = sale.tenant_id
LEFT JOIN (
    SELECT
        r.tenant_id,
        count(DISTINCT r.id) AS returns,
        count(i.id) AS lines,
        sum(i.refund_amount) AS refund
    FROM retail.sales_returns AS r
    LEFT JOIN retail.sales_return_items AS i ON r.id = i.sales_return_id
    WHERE r.status = 'completed' AND r.deleted_at IS NULL
    GROUP BY r.tenant_id
) AS returned ON t.id = returned.tenant_id
ORDER BY t.name, t.id;

-- name: rollup_totals
-- The same of daily_store_sales.
SELECT
    t.tenant_id,
    t.name,
    coalesce(sum(d.sale_count), 0)::bigint AS sale_count,
    coalesce(sum(d.return_count), 0)::bigint AS return_count,
    coalesce(sum(d.line_count + d.return_line_count), 0)::bigint AS line_count,
    coalesce(sum(d.gross_amount), 0) AS gross_amount,
    coalesce(sum(d.net_amount), 0) AS net_amount
FROM salespulse.dim_tenant AS t
LEFT JOIN salespulse.daily_store_sales AS d ON t.tenant_key = d.tenant_key
WHERE NOT t.is_deleted
GROUP BY t.tenant_id, t.name
ORDER BY t.name, t.tenant_id;

-- name: tenant_exists
SELECT exists(SELECT FROM retail.tenants AS t WHERE t.name = %(name)s) AS is_there;

-- name: any_other_tenant
SELECT exists(SELECT FROM retail.tenants AS t WHERE t.name <> %(name)s) AS is_there;

-- name: facts
SELECT
    (SELECT count(*) FROM salespulse.fact_document) AS documents,
    (SELECT count(*) FROM salespulse.fact_document_line) AS lines;
