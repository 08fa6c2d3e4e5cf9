-- The shop's tables in the project's own terms. Cents become an amount by an exact multiplication: a division would round
-- large amounts to 16 significant digits.

CREATE OR REPLACE VIEW salespulse_source.tenant AS
SELECT
    c.company_no::text AS tenant_id,
    c.company_no AS tenant_ref,
    c.title AS name,
    c.tz AS time_zone
FROM shop.companies AS c;

CREATE OR REPLACE VIEW salespulse_source.store AS
SELECT
    o.company_no::text AS tenant_id,
    o.outlet_no::text AS store_id,
    o.outlet_no AS store_ref,
    o.title AS name,
    o.tz AS time_zone
FROM shop.outlets AS o;

CREATE OR REPLACE VIEW salespulse_source.product AS
SELECT
    a.company_no::text AS tenant_id,
    a.article_no::text AS product_id,
    a.article_no AS product_ref,
    a.code AS sku,
    a.title AS name,
    a.category_no::text AS product_group_id,
    a.category_no AS product_group_ref,
    c.title AS product_group_name
FROM shop.articles AS a
LEFT JOIN shop.categories AS c ON a.category_no = c.category_no;

CREATE OR REPLACE VIEW salespulse_source.customer AS
SELECT
    c.company_no::text AS tenant_id,
    c.client_no::text AS customer_id,
    c.client_no AS customer_ref,
    c.full_name AS name
FROM shop.clients AS c;

CREATE OR REPLACE VIEW salespulse_source.sale AS
SELECT
    t.company_no::text AS tenant_id,
    t.ticket_no::text AS sale_id,
    t.ticket_no AS sale_ref,
    t.outlet_no::text AS store_id,
    t.client_no::text AS customer_id,
    t.closed_at AT TIME ZONE 'UTC' AS sold_at,
    (t.state = 'paid' AND NOT t.is_hidden) AS is_counted
FROM shop.tickets AS t;

CREATE OR REPLACE VIEW salespulse_source.sale_line AS
SELECT
    l.ticket_no AS sale_ref,
    l.article_no::text AS product_id,
    l.pieces AS units,
    l.pieces * l.price_cents * 0.01 AS gross_amount,
    l.discount_cents * 0.01 AS discount_amount,
    l.tax_cents * 0.01 AS tax_amount,
    l.pieces * coalesce(l.cost_cents, 0) * 0.01 AS cost_amount
FROM shop.sale_lines AS l;

CREATE OR REPLACE VIEW salespulse_source.sale_payment AS
SELECT
    r.ticket_no AS sale_ref,
    r.means AS payment_method,
    r.cents * 0.01 AS amount
FROM shop.receipts AS r;

CREATE OR REPLACE VIEW salespulse_source.sale_return AS
SELECT
    r.company_no::text AS tenant_id,
    r.refund_no::text AS sale_return_id,
    r.refund_no AS sale_return_ref,
    r.outlet_no::text AS store_id,
    r.client_no::text AS customer_id,
    r.refunded_at AT TIME ZONE 'UTC' AS returned_at,
    r.state = 'paid' AS is_counted
FROM shop.refunds AS r;

CREATE OR REPLACE VIEW salespulse_source.sale_return_line AS
SELECT
    l.refund_no AS sale_return_ref,
    l.article_no::text AS product_id,
    l.pieces AS returned_units,
    l.refund_cents * 0.01 AS refund_amount,
    l.pieces * coalesce(l.cost_cents, 0) * 0.01 AS cost_amount
FROM shop.refund_lines AS l;

CREATE OR REPLACE VIEW salespulse_source.sale_return_payment AS
SELECT
    p.refund_no AS sale_return_ref,
    p.means AS payment_method,
    p.cents * 0.01 AS amount
FROM shop.payouts AS p;
