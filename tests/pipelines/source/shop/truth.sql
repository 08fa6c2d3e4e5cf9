-- The shop in the shape of the bundled application, without what can't be counted: what tests.expected_rollups is run over.
-- `quarantined` is what must be in quarantine, no more and no less.

CREATE SCHEMA truth;

CREATE FUNCTION truth.knows(zone text) RETURNS boolean LANGUAGE sql IMMUTABLE
RETURN coalesce(zone = any(ARRAY[
    'UTC', 'Europe/London', 'Asia/Tokyo', 'America/New_York', 'Pacific/Kiritimati', 'Pacific/Pago_Pago', 'Asia/Kathmandu'
]), false);

CREATE VIEW truth.zones AS
SELECT o.outlet_no, o.company_no, coalesce(o.tz, c.tz) AS zone
FROM shop.outlets AS o JOIN shop.companies AS c ON c.company_no = o.company_no;

CREATE VIEW truth.quarantined AS
SELECT 'sale' AS kind, t.ticket_no::text AS id
FROM shop.tickets AS t
WHERE t.state = 'paid' AND NOT t.is_hidden AND (
    NOT EXISTS (
        SELECT FROM truth.zones AS z
        WHERE z.outlet_no = t.outlet_no AND z.company_no = t.company_no AND truth.knows(z.zone)
    )
    OR t.closed_at IS NULL OR NOT (t.closed_at >= '1900-01-01' AND t.closed_at < '2200-01-01')
    OR EXISTS (
        SELECT FROM shop.sale_lines AS l
        WHERE l.ticket_no = t.ticket_no
        AND (l.pieces IS NULL OR l.price_cents IS NULL OR l.pieces IN ('NaN', 'Infinity', '-Infinity'))
    )
    OR EXISTS (
        SELECT FROM shop.receipts AS r WHERE r.ticket_no = t.ticket_no AND (r.cents IS NULL OR r.means IS NULL)
    )
)
UNION ALL
SELECT 'return', r.refund_no::text
FROM shop.refunds AS r
WHERE r.state = 'paid' AND (
    NOT EXISTS (
        SELECT FROM truth.zones AS z
        WHERE z.outlet_no = r.outlet_no AND z.company_no = r.company_no AND truth.knows(z.zone)
    )
    OR r.refunded_at IS NULL
    OR EXISTS (
        SELECT FROM shop.refund_lines AS l
        WHERE l.refund_no = r.refund_no AND (l.pieces IS NULL OR l.refund_cents IS NULL)
    )
)
UNION
SELECT 'sale', o.ticket_no::text
FROM (SELECT ticket_no FROM shop.sale_lines UNION SELECT ticket_no FROM shop.receipts) AS o
WHERE o.ticket_no IS NOT NULL AND NOT EXISTS (SELECT FROM shop.tickets AS t WHERE t.ticket_no = o.ticket_no)
UNION
SELECT 'return', o.refund_no::text
FROM (SELECT refund_no FROM shop.refund_lines UNION SELECT refund_no FROM shop.payouts) AS o
WHERE o.refund_no IS NOT NULL AND NOT EXISTS (SELECT FROM shop.refunds AS r WHERE r.refund_no = o.refund_no);

CREATE VIEW truth.tenants AS
SELECT company_no::text AS id, CASE WHEN truth.knows(tz) THEN tz ELSE 'UTC' END AS timezone FROM shop.companies;
CREATE VIEW truth.stores AS
SELECT outlet_no::text AS id, CASE WHEN tz IS NULL OR truth.knows(tz) THEN tz ELSE 'UTC' END AS timezone
FROM shop.outlets;
CREATE VIEW truth.sales AS
SELECT t.ticket_no::text AS id, t.company_no::text AS tenant_id, t.outlet_no::text AS store_id,
    t.client_no::text AS customer_id, t.closed_at AT TIME ZONE 'UTC' AS sold_at,
    CASE WHEN t.state = 'paid' THEN 'completed' END AS status,
    CASE WHEN t.is_hidden THEN now() END AS deleted_at
FROM shop.tickets AS t
WHERE NOT EXISTS (SELECT FROM truth.quarantined AS q WHERE q.kind = 'sale' AND q.id = t.ticket_no::text);
CREATE VIEW truth.sale_items AS
SELECT ticket_no::text AS sale_id, article_no::text AS product_id, pieces AS quantity,
    price_cents::numeric * 0.01 AS unit_price, discount_cents::numeric * 0.01 AS discount_amount,
    tax_cents::numeric * 0.01 AS tax_amount, cost_cents::numeric * 0.01 AS unit_cost
FROM shop.sale_lines;
CREATE VIEW truth.sales_returns AS
SELECT r.refund_no::text AS id, r.company_no::text AS tenant_id, r.outlet_no::text AS store_id,
    r.client_no::text AS customer_id, r.refunded_at AT TIME ZONE 'UTC' AS returned_at,
    CASE WHEN r.state = 'paid' THEN 'completed' END AS status, NULL::timestamptz AS deleted_at
FROM shop.refunds AS r
WHERE NOT EXISTS (SELECT FROM truth.quarantined AS q WHERE q.kind = 'return' AND q.id = r.refund_no::text);
CREATE VIEW truth.sales_return_items AS
SELECT refund_no::text AS sales_return_id, article_no::text AS product_id, pieces AS quantity,
    refund_cents::numeric * 0.01 AS refund_amount, cost_cents::numeric * 0.01 AS unit_cost
FROM shop.refund_lines;
CREATE VIEW truth.payments AS
SELECT ticket_no::text AS sale_id, NULL::text AS sales_return_id, means AS method, cents::numeric * 0.01 AS amount
FROM shop.receipts
UNION ALL
SELECT NULL, refund_no::text, means, cents::numeric * 0.01 FROM shop.payouts;
