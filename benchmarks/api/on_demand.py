"""Statements that compute the dashboard on demand from the sales tables, as a team would without this project.

A statement for each part of the page, over the application's own tables and indexes, for one tenant. Business dates are local to
the store, and returns count on the day that they happened, as on the page; so both give the same figures, which is checked.
"""

# `sold` and `given_back` are the lines of both periods; what a part doesn't use, the planner leaves out.
_LINES = """
WITH sold AS (
    SELECT l.*, l.day >= %(from_date)s AS is_current
    FROM (
        SELECT
            s.id AS sale_id, s.store_id, s.customer_id, i.product_id, i.quantity AS units,
            i.quantity * i.unit_price AS gross, i.discount_amount AS discount, i.tax_amount AS tax,
            i.quantity * coalesce(i.unit_cost, 0) AS cost,
            (s.sold_at AT TIME ZONE coalesce(st.timezone, t.timezone))::date AS day,
            extract(HOUR FROM s.sold_at AT TIME ZONE coalesce(st.timezone, t.timezone))::integer AS hour
        FROM retail.sales AS s
        INNER JOIN retail.stores AS st ON st.id = s.store_id
        INNER JOIN retail.tenants AS t ON t.id = s.tenant_id
        INNER JOIN retail.sale_items AS i ON i.sale_id = s.id
        WHERE
            s.tenant_id = %(tenant_id)s AND s.status = 'completed' AND s.deleted_at IS NULL
            AND s.sold_at >= %(previous_from)s::date - 1 AND s.sold_at < %(to_date)s::date + 2
    ) AS l
    WHERE l.day BETWEEN %(previous_from)s AND %(to_date)s
),

given_back AS (
    SELECT l.*, l.day >= %(from_date)s AS is_current
    FROM (
        SELECT
            r.id AS return_id, r.store_id, r.customer_id, i.product_id, i.quantity AS units, i.refund_amount AS refund,
            i.quantity * coalesce(i.unit_cost, 0) AS cost,
            (r.returned_at AT TIME ZONE coalesce(st.timezone, t.timezone))::date AS day,
            extract(HOUR FROM r.returned_at AT TIME ZONE coalesce(st.timezone, t.timezone))::integer AS hour
        FROM retail.sales_returns AS r
        INNER JOIN retail.stores AS st ON st.id = r.store_id
        INNER JOIN retail.tenants AS t ON t.id = r.tenant_id
        INNER JOIN retail.sales_return_items AS i ON i.sales_return_id = r.id
        WHERE
            r.tenant_id = %(tenant_id)s AND r.status = 'completed' AND r.deleted_at IS NULL
            AND r.returned_at >= %(previous_from)s::date - 1 AND r.returned_at < %(to_date)s::date + 2
    ) AS l
    WHERE l.day BETWEEN %(previous_from)s AND %(to_date)s
)
"""

SALES = f"""{_LINES}
SELECT
    is_current, count(DISTINCT sale_id) AS sale_count, sum(units) AS units, sum(gross) AS gross_amount,
    sum(discount) AS discount_amount, sum(tax) AS tax_amount, sum(cost) AS cost_amount
FROM sold GROUP BY is_current
"""
RETURNS = f"""{_LINES}
SELECT is_current, count(DISTINCT return_id) AS return_count, sum(units) AS units, sum(refund) AS refund_amount, sum(cost) AS cost_amount
FROM given_back GROUP BY is_current
"""
_CUSTOMERS = f"""{_LINES}
SELECT is_current, count(*) AS unique_customers, count(*) FILTER (WHERE sale_count > 1) AS repeat_customers
FROM (
    SELECT is_current, customer_id, count(DISTINCT sale_id) AS sale_count
    FROM sold WHERE customer_id IS NOT NULL GROUP BY is_current, customer_id
) AS c GROUP BY is_current
"""
_DAYS = f"""{_LINES}
SELECT day, sum(sale_count) AS sale_count, sum(units) AS units, sum(gross) AS gross_amount, sum(refund) AS refund_amount
FROM (
    SELECT day, count(DISTINCT sale_id) AS sale_count, sum(units) AS units, sum(gross - discount) AS gross, 0 AS refund FROM sold GROUP BY day
    UNION ALL
    SELECT day, 0, 0, 0, sum(refund) FROM given_back GROUP BY day
) AS d GROUP BY day ORDER BY day
"""
_PRODUCTS = f"""{_LINES},

product AS (
    SELECT
        product_id, sum(units) FILTER (WHERE is_current) AS units, sum(refund) FILTER (WHERE is_current) AS refund_amount,
        sum(net) FILTER (WHERE is_current) AS net_amount, sum(net) FILTER (WHERE NOT is_current) AS previous_net_amount
    FROM (
        SELECT product_id, is_current, units, 0 AS refund, gross - discount AS net FROM sold
        UNION ALL
        SELECT product_id, is_current, 0, refund, -refund FROM given_back
    ) AS l GROUP BY product_id
)
"""
_TOP = f"""{_PRODUCTS}
SELECT p.*, d.name FROM product AS p LEFT JOIN retail.products AS d ON d.id = p.product_id
ORDER BY p.net_amount DESC NULLS LAST LIMIT 10
"""
_RETURNED = f"""{_PRODUCTS}
SELECT p.*, d.name FROM product AS p LEFT JOIN retail.products AS d ON d.id = p.product_id
ORDER BY p.refund_amount DESC NULLS LAST LIMIT 5
"""
_GROUPS = f"""{_PRODUCTS}
SELECT d.product_group_id, g.name, sum(p.units) AS units, sum(p.net_amount) AS net_amount, sum(p.previous_net_amount) AS previous_net_amount
FROM product AS p
LEFT JOIN retail.products AS d ON d.id = p.product_id
LEFT JOIN retail.product_groups AS g ON g.id = d.product_group_id
GROUP BY d.product_group_id, g.name ORDER BY sum(p.net_amount) DESC NULLS LAST
"""
_PAYMENTS = f"""{_LINES}
SELECT method, is_current, sum(amount) AS amount, count(*) AS payment_count
FROM (
    SELECT p.method, d.is_current, p.amount
    FROM (SELECT DISTINCT sale_id, is_current FROM sold) AS d INNER JOIN retail.payments AS p ON p.sale_id = d.sale_id
    UNION ALL
    SELECT p.method, d.is_current, -p.amount
    FROM (SELECT DISTINCT return_id, is_current FROM given_back) AS d
    INNER JOIN retail.payments AS p ON p.sales_return_id = d.return_id
) AS l GROUP BY method, is_current
"""
_HEATMAP = f"""{_LINES}
SELECT extract(ISODOW FROM day) AS weekday, hour, sum(net) AS net_amount
FROM (
    SELECT day, hour, gross - discount AS net FROM sold WHERE is_current
    UNION ALL
    SELECT day, hour, -refund FROM given_back WHERE is_current
) AS l GROUP BY extract(ISODOW FROM day), hour
"""
_STORES = f"""{_LINES}
SELECT l.store_id, s.name, sum(net) FILTER (WHERE is_current) AS net_amount, sum(net) FILTER (WHERE NOT is_current) AS previous_net_amount
FROM (
    SELECT store_id, is_current, gross - discount AS net FROM sold
    UNION ALL
    SELECT store_id, is_current, -refund FROM given_back
) AS l
INNER JOIN retail.stores AS s ON s.id = l.store_id
GROUP BY l.store_id, s.name
"""

DASHBOARD = (SALES, RETURNS, _CUSTOMERS, _DAYS, _TOP, _RETURNED, _GROUPS, _PAYMENTS, _HEATMAP, _STORES)
"""Everything that `overview` gives."""

SUMMARY = (SALES, RETURNS, _CUSTOMERS, _DAYS)
"""Everything that `sales-summary` gives."""
