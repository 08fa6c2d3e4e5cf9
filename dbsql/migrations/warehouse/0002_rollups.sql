-- The rollups: what the dashboards read. Each is defined by dbsql/rollups/<table>.sql over the facts; the refresh adds signed
-- differences, so every measure is a plain sum. Net (gross - discount - refund) and margin (net - cost) follow from the sums of
-- a row; only the two small store tables store them, since that costs the large ones a third of their insert speed.

-- One row per tenant, store and business date.
CREATE TABLE salespulse.daily_store_sales (
    tenant_key integer NOT NULL,
    store_key integer NOT NULL,
    business_date date NOT NULL,
    sale_count bigint NOT NULL,
    return_count bigint NOT NULL,
    line_count bigint NOT NULL,
    return_line_count bigint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    net_amount numeric NOT NULL GENERATED ALWAYS AS (gross_amount - discount_amount - refund_amount) STORED,
    margin_amount numeric NOT NULL
    GENERATED ALWAYS AS (gross_amount - discount_amount - refund_amount - cost_amount) STORED,
    PRIMARY KEY (tenant_key, store_key, business_date)
)
WITH (fillfactor = 85);

-- One row per tenant, store, business date and hour of the day (0 to 23, local to the store).
CREATE TABLE salespulse.hourly_store_sales (
    tenant_key integer NOT NULL,
    store_key integer NOT NULL,
    business_date date NOT NULL,
    business_hour smallint NOT NULL,
    sale_count bigint NOT NULL,
    return_count bigint NOT NULL,
    line_count bigint NOT NULL,
    return_line_count bigint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    net_amount numeric NOT NULL GENERATED ALWAYS AS (gross_amount - discount_amount - refund_amount) STORED,
    margin_amount numeric NOT NULL
    GENERATED ALWAYS AS (gross_amount - discount_amount - refund_amount - cost_amount) STORED,
    PRIMARY KEY (tenant_key, store_key, business_date, business_hour)
)
WITH (fillfactor = 85);

-- One row per tenant, business date, product and store; product 0 gathers lines without a product.
CREATE TABLE salespulse.daily_product_sales (
    tenant_key integer NOT NULL,
    business_date date NOT NULL,
    product_key integer NOT NULL,
    store_key integer NOT NULL,
    line_count bigint NOT NULL,
    return_line_count bigint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    PRIMARY KEY (tenant_key, business_date, product_key, store_key)
)
WITH (fillfactor = 85);

-- One row per tenant, month (its first day), product and store: long ranges read this instead of the days.
CREATE TABLE salespulse.monthly_product_sales (
    tenant_key integer NOT NULL,
    business_month date NOT NULL,
    product_key integer NOT NULL,
    store_key integer NOT NULL,
    line_count bigint NOT NULL,
    return_line_count bigint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    PRIMARY KEY (tenant_key, business_month, product_key, store_key)
)
WITH (fillfactor = 85);

-- One row per tenant, business date, customer and store; documents without a customer are left out.
CREATE TABLE salespulse.daily_customer_sales (
    tenant_key integer NOT NULL,
    business_date date NOT NULL,
    customer_key integer NOT NULL,
    store_key integer NOT NULL,
    sale_count bigint NOT NULL,
    return_count bigint NOT NULL,
    line_count bigint NOT NULL,
    return_line_count bigint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    PRIMARY KEY (tenant_key, business_date, customer_key, store_key)
)
WITH (fillfactor = 85);

-- One row per tenant, month (its first day), customer and store.
CREATE TABLE salespulse.monthly_customer_sales (
    tenant_key integer NOT NULL,
    business_month date NOT NULL,
    customer_key integer NOT NULL,
    store_key integer NOT NULL,
    sale_count bigint NOT NULL,
    return_count bigint NOT NULL,
    line_count bigint NOT NULL,
    return_line_count bigint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    PRIMARY KEY (tenant_key, business_month, customer_key, store_key)
)
WITH (fillfactor = 85);

-- One row per tenant, store, business date and payment method.
CREATE TABLE salespulse.daily_payment_sales (
    tenant_key integer NOT NULL,
    store_key integer NOT NULL,
    business_date date NOT NULL,
    payment_method text COLLATE "C" NOT NULL,
    payment_count bigint NOT NULL,
    refund_count bigint NOT NULL,
    payment_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    PRIMARY KEY (tenant_key, store_key, business_date, payment_method)
)
WITH (fillfactor = 85);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA salespulse TO salespulse_pipeline;

-- Verification and repair look for a range of dates over every tenant. Block ranges suffice, and cost a write next to
-- nothing.
CREATE INDEX daily_store_sales_business_date_idx ON salespulse.daily_store_sales USING brin (business_date) WITH (pages_per_range = 16);
CREATE INDEX hourly_store_sales_business_date_idx ON salespulse.hourly_store_sales USING brin (business_date) WITH (pages_per_range = 16);
CREATE INDEX daily_product_sales_business_date_idx ON salespulse.daily_product_sales USING brin (business_date) WITH (pages_per_range = 16);
CREATE INDEX monthly_product_sales_business_month_idx ON salespulse.monthly_product_sales USING brin (business_month) WITH (pages_per_range = 16);
CREATE INDEX daily_customer_sales_business_date_idx ON salespulse.daily_customer_sales USING brin (business_date) WITH (pages_per_range = 16);
CREATE INDEX monthly_customer_sales_business_month_idx ON salespulse.monthly_customer_sales USING brin (business_month) WITH (pages_per_range = 16);
CREATE INDEX daily_payment_sales_business_date_idx ON salespulse.daily_payment_sales USING brin (business_date) WITH (pages_per_range = 16);
