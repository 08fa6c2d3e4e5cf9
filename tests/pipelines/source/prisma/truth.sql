-- The same views over the tables with quoted names.

CREATE SCHEMA truth;

CREATE FUNCTION truth.knows(zone text) RETURNS boolean LANGUAGE sql IMMUTABLE
RETURN coalesce(zone = any(ARRAY[
    'UTC', 'Europe/London', 'Asia/Tokyo',
    'America/New_York', 'Pacific/Kiritimati', 'Pacific/Pago_Pago', 'Asia/Kathmandu'
]), false);

CREATE VIEW truth.quarantined AS
SELECT 'sale' AS kind, s.id
FROM public."Sale" AS s
JOIN public."Store" AS st ON st.id = s."storeId"
JOIN public."Tenant" AS t ON t.id = s."tenantId"
WHERE s.status = 'completed' AND s."deletedAt" IS NULL AND (
    st."tenantId" <> s."tenantId"
    OR NOT truth.knows(coalesce(st.timezone, t.timezone))
    OR s."soldAt" < '1900-01-01' OR s."soldAt" >= '2200-01-01'
    OR EXISTS (
        SELECT FROM public."SaleItem" AS i
        WHERE i."saleId" = s.id AND EXISTS (
            SELECT FROM unnest(ARRAY[i.quantity, i."unitPrice", i."discountAmount", i."taxAmount", i."unitCost"]) AS v
            WHERE v IN ('NaN', 'Infinity', '-Infinity')
        )
    )
    OR EXISTS (
        SELECT FROM public."Payment" AS p WHERE p."saleId" = s.id AND p.amount IN ('NaN', 'Infinity', '-Infinity')
    )
)
UNION ALL
SELECT 'return', r.id
FROM "Back.Office"."Return" AS r
JOIN public."Store" AS st ON st.id = r."storeId"
JOIN public."Tenant" AS t ON t.id = r."tenantId"
WHERE r.status = 'completed' AND r."deletedAt" IS NULL
AND (st."tenantId" <> r."tenantId" OR NOT truth.knows(coalesce(st.timezone, t.timezone)));

CREATE VIEW truth.tenants AS
SELECT id, CASE WHEN truth.knows(timezone) THEN timezone ELSE 'UTC' END AS timezone
FROM public."Tenant";
CREATE VIEW truth.stores AS
SELECT id, CASE WHEN timezone IS NULL OR truth.knows(timezone) THEN timezone ELSE 'UTC' END AS timezone
FROM public."Store";
CREATE VIEW truth.sales AS
SELECT s.id, s."tenantId" AS tenant_id, s."storeId" AS store_id, s."customerId" AS customer_id, s.status,
    s."soldAt" AS sold_at, s."deletedAt" AS deleted_at
FROM public."Sale" AS s
WHERE NOT EXISTS (SELECT FROM truth.quarantined AS q WHERE q.kind = 'sale' AND q.id = s.id);
CREATE VIEW truth.sale_items AS
SELECT id, "saleId" AS sale_id, "productId" AS product_id, "unitPrice" AS unit_price,
    "discountAmount" AS discount_amount, "taxAmount" AS tax_amount, "unitCost" AS unit_cost, quantity
FROM public."SaleItem";
CREATE VIEW truth.sales_returns AS
SELECT r.id, r."tenantId" AS tenant_id, r."storeId" AS store_id, r."customerId" AS customer_id, r.status,
    r."returnedAt" AS returned_at, r."deletedAt" AS deleted_at
FROM "Back.Office"."Return" AS r
WHERE NOT EXISTS (SELECT FROM truth.quarantined AS q WHERE q.kind = 'return' AND q.id = r.id);
CREATE VIEW truth.sales_return_items AS
SELECT id, "salesReturnId" AS sales_return_id, "productId" AS product_id, "refundAmount" AS refund_amount,
    "unitCost" AS unit_cost, quantity
FROM "Back.Office"."Return.Item";
CREATE VIEW truth.payments AS
SELECT id, "saleId" AS sale_id, "salesReturnId" AS sales_return_id, method, amount
FROM public."Payment";
