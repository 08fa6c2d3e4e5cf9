-- A third application: the bundled one's tables with the names that Prisma gives them, which need double quotes, in two
-- schemas, one of them with a dot in its name.

CREATE SCHEMA "Back.Office";

CREATE TABLE public."Tenant" (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    name text NOT NULL,
    timezone text NOT NULL DEFAULT 'UTC',
    currency text NOT NULL DEFAULT 'GBP'
);

CREATE TABLE public."Store" (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    "tenantId" text NOT NULL REFERENCES public."Tenant" (id) ON DELETE CASCADE,
    name text NOT NULL,
    timezone text
);

CREATE TABLE public."ProductGroup" (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    "tenantId" text NOT NULL REFERENCES public."Tenant" (id) ON DELETE CASCADE,
    name text NOT NULL
);

CREATE TABLE public."Product" (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    "tenantId" text NOT NULL REFERENCES public."Tenant" (id) ON DELETE CASCADE,
    "productGroupId" text REFERENCES public."ProductGroup" (id) ON DELETE SET NULL,
    sku text NOT NULL,
    name text NOT NULL
);

CREATE TABLE public."Customer" (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    "tenantId" text NOT NULL REFERENCES public."Tenant" (id) ON DELETE CASCADE,
    name text NOT NULL
);

CREATE TABLE public."Sale" (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    "tenantId" text NOT NULL REFERENCES public."Tenant" (id) ON DELETE CASCADE,
    "storeId" text NOT NULL REFERENCES public."Store" (id) ON DELETE CASCADE,
    "customerId" text REFERENCES public."Customer" (id) ON DELETE SET NULL,
    "receiptNumber" text NOT NULL,
    status text NOT NULL DEFAULT 'completed' CHECK (status IN ('draft', 'parked', 'completed', 'voided')),
    "soldAt" timestamptz NOT NULL DEFAULT now(),
    "deletedAt" timestamptz
);

CREATE TABLE public."SaleItem" (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    "saleId" text NOT NULL REFERENCES public."Sale" (id) ON DELETE CASCADE,
    "productId" text REFERENCES public."Product" (id) ON DELETE SET NULL,
    quantity numeric NOT NULL,
    "unitPrice" numeric NOT NULL,
    "discountAmount" numeric NOT NULL DEFAULT 0,
    "taxAmount" numeric NOT NULL DEFAULT 0,
    "unitCost" numeric
);

CREATE TABLE "Back.Office"."Return" (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    "tenantId" text NOT NULL REFERENCES public."Tenant" (id) ON DELETE CASCADE,
    "storeId" text NOT NULL REFERENCES public."Store" (id) ON DELETE CASCADE,
    "saleId" text REFERENCES public."Sale" (id) ON DELETE CASCADE,
    "customerId" text REFERENCES public."Customer" (id) ON DELETE SET NULL,
    "receiptNumber" text NOT NULL,
    status text NOT NULL DEFAULT 'completed' CHECK (status IN ('draft', 'completed', 'voided')),
    "returnedAt" timestamptz NOT NULL DEFAULT now(),
    "deletedAt" timestamptz
);

CREATE TABLE "Back.Office"."Return.Item" (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    "salesReturnId" text NOT NULL REFERENCES "Back.Office"."Return" (id) ON DELETE CASCADE,
    "saleItemId" text REFERENCES public."SaleItem" (id) ON DELETE SET NULL,
    "productId" text REFERENCES public."Product" (id) ON DELETE SET NULL,
    quantity numeric NOT NULL,
    "refundAmount" numeric NOT NULL,
    "unitCost" numeric
);

CREATE TABLE public."Payment" (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    "saleId" text REFERENCES public."Sale" (id) ON DELETE CASCADE,
    "salesReturnId" text REFERENCES "Back.Office"."Return" (id) ON DELETE CASCADE,
    method text NOT NULL,
    amount numeric NOT NULL,
    CHECK (num_nonnulls("saleId", "salesReturnId") = 1)
);

CREATE INDEX stores_tenant_id_idx ON public."Store" ("tenantId");
CREATE INDEX product_groups_tenant_id_idx ON public."ProductGroup" ("tenantId");
CREATE INDEX products_tenant_id_idx ON public."Product" ("tenantId");
CREATE INDEX products_product_group_id_idx ON public."Product" ("productGroupId");
CREATE INDEX customers_tenant_id_idx ON public."Customer" ("tenantId");
CREATE INDEX sales_sold_at_idx ON public."Sale" ("soldAt");
CREATE INDEX sales_store_id_idx ON public."Sale" ("storeId", "soldAt");
CREATE INDEX sales_customer_id_idx ON public."Sale" ("customerId");
CREATE INDEX sale_items_sale_id_idx ON public."SaleItem" ("saleId");
CREATE INDEX sales_returns_returned_at_idx ON "Back.Office"."Return" ("returnedAt");
CREATE INDEX sales_returns_sale_id_idx ON "Back.Office"."Return" ("saleId");
CREATE INDEX sales_return_items_sales_return_id_idx ON "Back.Office"."Return.Item" ("salesReturnId");
CREATE INDEX sales_return_items_sale_item_id_idx ON "Back.Office"."Return.Item" ("saleItemId");
CREATE INDEX payments_sale_id_idx ON public."Payment" ("saleId") WHERE "saleId" IS NOT NULL;
CREATE INDEX payments_sales_return_id_idx ON public."Payment" ("salesReturnId") WHERE "salesReturnId" IS NOT NULL;
