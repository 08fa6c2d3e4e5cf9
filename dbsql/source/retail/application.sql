-- The bundled application: a multi-tenant point-of-sale schema, as a team would have it before this project came.
-- It belongs to the application, not to Salespulse: text UUID keys, no updated_at, status changes, soft deletes
-- (deleted_at) and hard deletes. Salespulse changes nothing in it; it only adds triggers.

CREATE SCHEMA IF NOT EXISTS retail;

CREATE TABLE retail.tenants (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    name text NOT NULL,
    timezone text NOT NULL DEFAULT 'UTC',
    currency text NOT NULL DEFAULT 'GBP'
);

CREATE TABLE retail.stores (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL REFERENCES retail.tenants (id) ON DELETE CASCADE,
    name text NOT NULL,
    -- NULL: the tenant's
    timezone text
);

CREATE TABLE retail.product_groups (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL REFERENCES retail.tenants (id) ON DELETE CASCADE,
    name text NOT NULL
);

CREATE TABLE retail.products (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL REFERENCES retail.tenants (id) ON DELETE CASCADE,
    product_group_id text REFERENCES retail.product_groups (id) ON DELETE SET NULL,
    sku text NOT NULL,
    name text NOT NULL
);

CREATE TABLE retail.customers (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL REFERENCES retail.tenants (id) ON DELETE CASCADE,
    name text NOT NULL
);

CREATE TABLE retail.sales (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL REFERENCES retail.tenants (id) ON DELETE CASCADE,
    store_id text NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
    -- NULL: nobody asked for a name
    customer_id text REFERENCES retail.customers (id) ON DELETE SET NULL,
    receipt_number text NOT NULL,
    -- 'completed' counts; 'draft', 'parked' and 'voided' do not
    status text NOT NULL DEFAULT 'completed' CHECK (status IN ('draft', 'parked', 'completed', 'voided')),
    sold_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);

CREATE TABLE retail.sale_items (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    sale_id text NOT NULL REFERENCES retail.sales (id) ON DELETE CASCADE,
    product_id text REFERENCES retail.products (id) ON DELETE SET NULL,
    quantity numeric NOT NULL,
    unit_price numeric NOT NULL,
    discount_amount numeric NOT NULL DEFAULT 0,
    tax_amount numeric NOT NULL DEFAULT 0,
    -- NULL: not known
    unit_cost numeric
);

CREATE TABLE retail.sales_returns (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    tenant_id text NOT NULL REFERENCES retail.tenants (id) ON DELETE CASCADE,
    store_id text NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
    -- NULL: returned without a receipt
    sale_id text REFERENCES retail.sales (id) ON DELETE CASCADE,
    customer_id text REFERENCES retail.customers (id) ON DELETE SET NULL,
    receipt_number text NOT NULL,
    status text NOT NULL DEFAULT 'completed' CHECK (status IN ('draft', 'completed', 'voided')),
    returned_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);

CREATE TABLE retail.sales_return_items (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    sales_return_id text NOT NULL REFERENCES retail.sales_returns (id) ON DELETE CASCADE,
    sale_item_id text REFERENCES retail.sale_items (id) ON DELETE SET NULL,
    product_id text REFERENCES retail.products (id) ON DELETE SET NULL,
    -- goods that came back, so 1 for one piece
    quantity numeric NOT NULL,
    refund_amount numeric NOT NULL,
    unit_cost numeric
);

CREATE TABLE retail.payments (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    sale_id text REFERENCES retail.sales (id) ON DELETE CASCADE,
    sales_return_id text REFERENCES retail.sales_returns (id) ON DELETE CASCADE,
    method text NOT NULL,
    -- positive: money taken for a sale, or given back for a return
    amount numeric NOT NULL,
    CHECK (num_nonnulls(sale_id, sales_return_id) = 1)
);

CREATE INDEX stores_tenant_id_idx ON retail.stores (tenant_id);
CREATE INDEX product_groups_tenant_id_idx ON retail.product_groups (tenant_id);
CREATE INDEX products_tenant_id_idx ON retail.products (tenant_id);
CREATE INDEX products_product_group_id_idx ON retail.products (product_group_id);
CREATE INDEX customers_tenant_id_idx ON retail.customers (tenant_id);
CREATE INDEX sales_sold_at_idx ON retail.sales (sold_at);
CREATE INDEX sales_store_id_idx ON retail.sales (store_id, sold_at);
CREATE INDEX sales_customer_id_idx ON retail.sales (customer_id);
CREATE INDEX sale_items_sale_id_idx ON retail.sale_items (sale_id);
CREATE INDEX sales_returns_returned_at_idx ON retail.sales_returns (returned_at);
CREATE INDEX sales_returns_sale_id_idx ON retail.sales_returns (sale_id);
CREATE INDEX sales_return_items_sales_return_id_idx ON retail.sales_return_items (sales_return_id);
CREATE INDEX sales_return_items_sale_item_id_idx ON retail.sales_return_items (sale_item_id);
CREATE INDEX payments_sale_id_idx ON retail.payments (sale_id) WHERE sale_id IS NOT NULL;
CREATE INDEX payments_sales_return_id_idx ON retail.payments (sales_return_id) WHERE sales_return_id IS NOT NULL;
