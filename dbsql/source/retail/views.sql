-- The application's tables in the project's own terms. Everything Salespulse reads of the application goes through these.
-- The *_ref columns are the same keys in the application's own type, so that a look-up can use its indexes.

CREATE OR REPLACE VIEW salespulse_source.tenant AS
SELECT
    t.id AS tenant_id,
    t.id AS tenant_ref,
    t.name,
    t.timezone AS time_zone
FROM retail.tenants AS t;

CREATE OR REPLACE VIEW salespulse_source.store AS
SELECT
    s.tenant_id,
    s.id AS store_id,
    s.id AS store_ref,
    s.name,
    s.timezone AS time_zone
FROM retail.stores AS s;

CREATE OR REPLACE VIEW salespulse_source.product AS
SELECT
    p.tenant_id,
    p.id AS product_id,
    p.id AS product_ref,
    p.sku,
    p.name,
    p.product_group_id,
    p.product_group_id AS product_group_ref,
    g.name AS product_group_name
FROM retail.products AS p
LEFT JOIN retail.product_groups AS g ON p.product_group_id = g.id;

CREATE OR REPLACE VIEW salespulse_source.customer AS
SELECT
    c.tenant_id,
    c.id AS customer_id,
    c.id AS customer_ref,
    c.name
FROM retail.customers AS c;

CREATE OR REPLACE VIEW salespulse_source.sale AS
SELECT
    s.tenant_id,
    s.id AS sale_id,
    s.id AS sale_ref,
    s.store_id,
    s.customer_id,
    s.sold_at,
    (s.status = 'completed' AND s.deleted_at IS NULL) AS is_counted
FROM retail.sales AS s;

CREATE OR REPLACE VIEW salespulse_source.sale_line AS
SELECT
    i.sale_id AS sale_ref,
    i.product_id,
    i.quantity AS units,
    i.quantity * i.unit_price AS gross_amount,
    i.discount_amount,
    i.tax_amount,
    i.quantity * coalesce(i.unit_cost, 0) AS cost_amount
FROM retail.sale_items AS i;

CREATE OR REPLACE VIEW salespulse_source.sale_payment AS
SELECT
    p.sale_id AS sale_ref,
    p.method AS payment_method,
    p.amount
FROM retail.payments AS p
WHERE p.sale_id IS NOT NULL;

CREATE OR REPLACE VIEW salespulse_source.sale_return AS
SELECT
    r.tenant_id,
    r.id AS sale_return_id,
    r.id AS sale_return_ref,
    r.store_id,
    r.customer_id,
    r.returned_at,
    (r.status = 'completed' AND r.deleted_at IS NULL) AS is_counted
FROM retail.sales_returns AS r;

CREATE OR REPLACE VIEW salespulse_source.sale_return_line AS
SELECT
    i.sales_return_id AS sale_return_ref,
    i.product_id,
    i.quantity AS returned_units,
    i.refund_amount,
    i.quantity * coalesce(i.unit_cost, 0) AS cost_amount
FROM retail.sales_return_items AS i;

CREATE OR REPLACE VIEW salespulse_source.sale_return_payment AS
SELECT
    p.sales_return_id AS sale_return_ref,
    p.method AS payment_method,
    p.amount
FROM retail.payments AS p
WHERE p.sales_return_id IS NOT NULL;
