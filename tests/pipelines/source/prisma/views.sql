-- The tables with quoted names in the project's own terms.

CREATE OR REPLACE VIEW salespulse_source.tenant AS
SELECT
    t.id AS tenant_id,
    t.id AS tenant_ref,
    t.name,
    t.timezone AS time_zone
FROM public."Tenant" AS t;

CREATE OR REPLACE VIEW salespulse_source.store AS
SELECT
    s."tenantId" AS tenant_id,
    s.id AS store_id,
    s.id AS store_ref,
    s.name,
    s.timezone AS time_zone
FROM public."Store" AS s;

CREATE OR REPLACE VIEW salespulse_source.product AS
SELECT
    p."tenantId" AS tenant_id,
    p.id AS product_id,
    p.id AS product_ref,
    p.sku,
    p.name,
    p."productGroupId" AS product_group_id,
    p."productGroupId" AS product_group_ref,
    g.name AS product_group_name
FROM public."Product" AS p
LEFT JOIN public."ProductGroup" AS g ON p."productGroupId" = g.id;

CREATE OR REPLACE VIEW salespulse_source.customer AS
SELECT
    c."tenantId" AS tenant_id,
    c.id AS customer_id,
    c.id AS customer_ref,
    c.name
FROM public."Customer" AS c;

CREATE OR REPLACE VIEW salespulse_source.sale AS
SELECT
    s."tenantId" AS tenant_id,
    s.id AS sale_id,
    s.id AS sale_ref,
    s."storeId" AS store_id,
    s."customerId" AS customer_id,
    s."soldAt" AS sold_at,
    (s.status = 'completed' AND s."deletedAt" IS NULL) AS is_counted
FROM public."Sale" AS s;

CREATE OR REPLACE VIEW salespulse_source.sale_line AS
SELECT
    i."saleId" AS sale_ref,
    i."productId" AS product_id,
    i.quantity AS units,
    i.quantity * i."unitPrice" AS gross_amount,
    i."discountAmount" AS discount_amount,
    i."taxAmount" AS tax_amount,
    i.quantity * coalesce(i."unitCost", 0) AS cost_amount
FROM public."SaleItem" AS i;

CREATE OR REPLACE VIEW salespulse_source.sale_payment AS
SELECT
    p."saleId" AS sale_ref,
    p.method AS payment_method,
    p.amount
FROM public."Payment" AS p
WHERE p."saleId" IS NOT NULL;

CREATE OR REPLACE VIEW salespulse_source.sale_return AS
SELECT
    r."tenantId" AS tenant_id,
    r.id AS sale_return_id,
    r.id AS sale_return_ref,
    r."storeId" AS store_id,
    r."customerId" AS customer_id,
    r."returnedAt" AS returned_at,
    (r.status = 'completed' AND r."deletedAt" IS NULL) AS is_counted
FROM "Back.Office"."Return" AS r;

CREATE OR REPLACE VIEW salespulse_source.sale_return_line AS
SELECT
    i."salesReturnId" AS sale_return_ref,
    i."productId" AS product_id,
    i.quantity AS returned_units,
    i."refundAmount" AS refund_amount,
    i.quantity * coalesce(i."unitCost", 0) AS cost_amount
FROM "Back.Office"."Return.Item" AS i;

CREATE OR REPLACE VIEW salespulse_source.sale_return_payment AS
SELECT
    p."salesReturnId" AS sale_return_ref,
    p.method AS payment_method,
    p.amount
FROM public."Payment" AS p
WHERE p."salesReturnId" IS NOT NULL;
