-- The application without what can't be counted, said independently of the engine: what tests.expected_rollups is run over.
-- `quarantined` is what must be in quarantine, no more and no less.

CREATE SCHEMA truth;

CREATE FUNCTION truth.knows(zone text) RETURNS boolean LANGUAGE sql IMMUTABLE
RETURN coalesce(zone = any(ARRAY[
    'UTC', 'Europe/London', 'Asia/Tokyo', 'America/New_York', 'Pacific/Kiritimati', 'Pacific/Pago_Pago', 'Asia/Kathmandu'
]), false);

CREATE VIEW truth.quarantined AS
SELECT 'sale' AS kind, s.id
FROM retail.sales AS s
JOIN retail.stores AS st ON st.id = s.store_id
JOIN retail.tenants AS t ON t.id = s.tenant_id
WHERE s.status = 'completed' AND s.deleted_at IS NULL AND (
    st.tenant_id <> s.tenant_id
    OR NOT truth.knows(coalesce(st.timezone, t.timezone))
    OR s.sold_at < '1900-01-01' OR s.sold_at >= '2200-01-01'
    OR EXISTS (
        SELECT FROM retail.sale_items AS i
        WHERE i.sale_id = s.id AND EXISTS (
            SELECT FROM unnest(ARRAY[i.quantity, i.unit_price, i.discount_amount, i.tax_amount, i.unit_cost]) AS v
            WHERE v IN ('NaN', 'Infinity', '-Infinity')
        )
    )
    OR EXISTS (
        SELECT FROM retail.payments AS p WHERE p.sale_id = s.id AND p.amount IN ('NaN', 'Infinity', '-Infinity')
    )
)
UNION ALL
SELECT 'return', r.id
FROM retail.sales_returns AS r
JOIN retail.stores AS st ON st.id = r.store_id
JOIN retail.tenants AS t ON t.id = r.tenant_id
WHERE r.status = 'completed' AND r.deleted_at IS NULL
AND (st.tenant_id <> r.tenant_id OR NOT truth.knows(coalesce(st.timezone, t.timezone)));

CREATE VIEW truth.tenants AS
SELECT id, CASE WHEN truth.knows(timezone) THEN timezone ELSE 'UTC' END AS timezone FROM retail.tenants;
CREATE VIEW truth.stores AS
SELECT id, CASE WHEN timezone IS NULL OR truth.knows(timezone) THEN timezone ELSE 'UTC' END AS timezone FROM retail.stores;
CREATE VIEW truth.sales AS
SELECT s.* FROM retail.sales AS s
WHERE NOT EXISTS (SELECT FROM truth.quarantined AS q WHERE q.kind = 'sale' AND q.id = s.id);
CREATE VIEW truth.sale_items AS SELECT * FROM retail.sale_items;
CREATE VIEW truth.sales_returns AS
SELECT r.* FROM retail.sales_returns AS r
WHERE NOT EXISTS (SELECT FROM truth.quarantined AS q WHERE q.kind = 'return' AND q.id = r.id);
CREATE VIEW truth.sales_return_items AS SELECT * FROM retail.sales_return_items;
CREATE VIEW truth.payments AS SELECT * FROM retail.payments;
