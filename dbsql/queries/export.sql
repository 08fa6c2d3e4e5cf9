-- What an exported report holds, each in a read-only transaction that has set the tenant; the condition on tenant_key holds
-- where a role bypasses row-level security. Net is gross less discount less refunds, margin is net less cost.
--
-- Parameters: `tenant_key`; `from_date` and `to_date`, both inclusive; `store_id` (NULL: every store).

-- name: last_date
-- The last date with figures. A sale dated in the future by mistake does not move the default range there.
SELECT max(d.business_date) AS last_date
FROM salespulse.daily_store_sales AS d
WHERE d.tenant_key = %(tenant_key)s AND d.business_date <= current_date + 1;

-- name: find_store
SELECT s.store_key
FROM salespulse.dim_store AS s
WHERE s.tenant_key = %(tenant_key)s AND s.store_id = %(store_id)s;

-- name: stores
-- One row per business date and store.
SELECT
    d.business_date,
    s.store_id,
    s.name AS store_name,
    d.sale_count,
    d.return_count,
    d.units,
    d.returned_units,
    d.gross_amount,
    d.discount_amount,
    d.tax_amount,
    d.refund_amount,
    d.cost_amount,
    d.net_amount,
    d.margin_amount
FROM salespulse.daily_store_sales AS d
INNER JOIN salespulse.dim_store AS s ON d.store_key = s.store_key
WHERE
    d.tenant_key = %(tenant_key)s
    AND d.business_date BETWEEN %(from_date)s AND %(to_date)s
    AND (%(store_id)s::text IS NULL OR s.store_id = %(store_id)s)
ORDER BY d.business_date, s.store_id;

-- name: hours
-- One row per business date, hour of the day (local to the store) and store.
SELECT
    d.business_date,
    d.business_hour,
    s.store_id,
    s.name AS store_name,
    d.sale_count,
    d.return_count,
    d.units,
    d.returned_units,
    d.gross_amount,
    d.discount_amount,
    d.tax_amount,
    d.refund_amount,
    d.cost_amount,
    d.net_amount,
    d.margin_amount
FROM salespulse.hourly_store_sales AS d
INNER JOIN salespulse.dim_store AS s ON d.store_key = s.store_key
WHERE
    d.tenant_key = %(tenant_key)s
    AND d.business_date BETWEEN %(from_date)s AND %(to_date)s
    AND (%(store_id)s::text IS NULL OR s.store_id = %(store_id)s)
ORDER BY d.business_date, d.business_hour, s.store_id;

-- name: products
-- One row per business date, product and store; lines without a product have none.
SELECT
    d.business_date,
    p.product_id,
    p.sku,
    p.name AS product_name,
    p.product_group_name,
    s.store_id,
    s.name AS store_name,
    d.units,
    d.returned_units,
    d.gross_amount,
    d.discount_amount,
    d.tax_amount,
    d.refund_amount,
    d.cost_amount,
    d.gross_amount - d.discount_amount - d.refund_amount AS net_amount,
    d.gross_amount - d.discount_amount - d.refund_amount - d.cost_amount AS margin_amount
FROM salespulse.daily_product_sales AS d
INNER JOIN salespulse.dim_store AS s ON d.store_key = s.store_key
LEFT JOIN salespulse.dim_product AS p ON d.product_key = p.product_key
WHERE
    d.tenant_key = %(tenant_key)s
    AND d.business_date BETWEEN %(from_date)s AND %(to_date)s
    AND (%(store_id)s::text IS NULL OR s.store_id = %(store_id)s)
ORDER BY d.business_date, p.product_id, s.store_id;

-- name: customers
-- One row per business date, named customer and store.
SELECT
    d.business_date,
    c.customer_id,
    c.name AS customer_name,
    s.store_id,
    s.name AS store_name,
    d.sale_count,
    d.return_count,
    d.units,
    d.returned_units,
    d.gross_amount,
    d.discount_amount,
    d.tax_amount,
    d.refund_amount,
    d.cost_amount,
    d.gross_amount - d.discount_amount - d.refund_amount AS net_amount,
    d.gross_amount - d.discount_amount - d.refund_amount - d.cost_amount AS margin_amount
FROM salespulse.daily_customer_sales AS d
INNER JOIN salespulse.dim_store AS s ON d.store_key = s.store_key
INNER JOIN salespulse.dim_customer AS c ON d.customer_key = c.customer_key
WHERE
    d.tenant_key = %(tenant_key)s
    AND d.business_date BETWEEN %(from_date)s AND %(to_date)s
    AND (%(store_id)s::text IS NULL OR s.store_id = %(store_id)s)
ORDER BY d.business_date, c.customer_id, s.store_id;

-- name: payments
-- One row per business date, payment method and store.
SELECT
    d.business_date,
    d.payment_method,
    s.store_id,
    s.name AS store_name,
    d.payment_count,
    d.refund_count,
    d.payment_amount,
    d.refund_amount
FROM salespulse.daily_payment_sales AS d
INNER JOIN salespulse.dim_store AS s ON d.store_key = s.store_key
WHERE
    d.tenant_key = %(tenant_key)s
    AND d.business_date BETWEEN %(from_date)s AND %(to_date)s
    AND (%(store_id)s::text IS NULL OR s.store_id = %(store_id)s)
ORDER BY d.business_date, d.payment_method, s.store_id;
