-- The warehouse's base: dimensions, facts (what was last applied, per sale and return), and the refresh's own state.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['salespulse_reader', 'salespulse_pipeline', 'salespulse_dashboard'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
    -- A refresh stages what it read in temporary tables; some databases take that right from the public.
    EXECUTE pg_catalog.format('GRANT TEMPORARY ON DATABASE %I TO salespulse_pipeline', pg_catalog.current_database());
END
$$;

CREATE SCHEMA IF NOT EXISTS salespulse;
REVOKE ALL ON SCHEMA salespulse FROM public;
GRANT USAGE ON SCHEMA salespulse TO salespulse_pipeline, salespulse_dashboard, salespulse_reader;

-- Whether PostgreSQL knows a time zone by this name. pg_timezone_names would read every zone file at each call.
CREATE FUNCTION salespulse.is_time_zone(zone text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (timestamptz 'epoch' AT TIME ZONE zone) IS NOT NULL;
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN false;
END
$$;

---------------------------------------------------------------------------------------------------------- dimensions

CREATE TABLE salespulse.dim_tenant (
    tenant_key integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    tenant_id text COLLATE "C" NOT NULL UNIQUE,
    name text,
    time_zone text,
    is_deleted boolean NOT NULL DEFAULT false
);

CREATE TABLE salespulse.dim_store (
    store_key integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    tenant_key integer NOT NULL REFERENCES salespulse.dim_tenant (tenant_key),
    store_id text COLLATE "C" NOT NULL,
    name text,
    -- what the store itself says; NULL: the tenant's zone holds
    own_time_zone text,
    -- the zone in force, in which business dates are counted
    time_zone text,
    -- false: its sales wait in quarantine until the zone is mended, the store is back, the tenant is back
    is_usable boolean NOT NULL DEFAULT false,
    is_deleted boolean NOT NULL DEFAULT false,
    UNIQUE (tenant_key, store_id)
);
CREATE INDEX dim_store_store_id_idx ON salespulse.dim_store (store_id);

CREATE TABLE salespulse.dim_product (
    product_key integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    tenant_key integer NOT NULL REFERENCES salespulse.dim_tenant (tenant_key),
    product_id text COLLATE "C" NOT NULL,
    -- NULL until the product's own row has been read: a sale may arrive first
    sku text,
    name text,
    product_group_id text COLLATE "C",
    product_group_name text,
    is_deleted boolean NOT NULL DEFAULT false,
    UNIQUE (tenant_key, product_id)
);
CREATE INDEX dim_product_product_id_idx ON salespulse.dim_product (product_id);

CREATE TABLE salespulse.dim_customer (
    customer_key integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    tenant_key integer NOT NULL REFERENCES salespulse.dim_tenant (tenant_key),
    customer_id text COLLATE "C" NOT NULL,
    name text,
    is_deleted boolean NOT NULL DEFAULT false,
    UNIQUE (tenant_key, customer_id)
);
CREATE INDEX dim_customer_customer_id_idx ON salespulse.dim_customer (customer_id);

---------------------------------------------------------------------------------------------------------------- facts

-- One row per sale or return that counts, as it was last applied. `document_id` is the natural key of its kind.
CREATE TABLE salespulse.fact_document (
    document_key bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    occurred_at timestamptz NOT NULL,
    tenant_key integer NOT NULL,
    store_key integer NOT NULL,
    -- NULL: nobody's name was asked for
    customer_key integer,
    -- local to the store
    business_date date NOT NULL,
    business_hour smallint NOT NULL CHECK (business_hour BETWEEN 0 AND 23),
    sale_count smallint NOT NULL,
    return_count smallint NOT NULL,
    line_count integer NOT NULL,
    return_line_count integer NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    -- of goods sold less of goods that came back
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    document_kind text COLLATE "C" NOT NULL CHECK (document_kind IN ('sale', 'return')),
    document_id text COLLATE "C" NOT NULL,
    UNIQUE (document_id, document_kind)
)
WITH (fillfactor = 90);
CREATE INDEX fact_document_business_date_idx ON salespulse.fact_document (business_date);
CREATE INDEX fact_document_store_key_idx ON salespulse.fact_document (store_key);

-- One row per line of such a document. `product_key` 0: a line without a product.
CREATE TABLE salespulse.fact_document_line (
    document_key bigint NOT NULL,
    tenant_key integer NOT NULL,
    store_key integer NOT NULL,
    product_key integer NOT NULL,
    business_date date NOT NULL,
    line_count smallint NOT NULL,
    return_line_count smallint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL
);
CREATE INDEX fact_document_line_document_key_idx ON salespulse.fact_document_line (document_key);
CREATE INDEX fact_document_line_business_date_idx
ON salespulse.fact_document_line USING brin (business_date) WITH (pages_per_range = 16);

-- One row per payment of such a document: money taken for a sale, or given back for a return.
CREATE TABLE salespulse.fact_document_payment (
    document_key bigint NOT NULL,
    tenant_key integer NOT NULL,
    store_key integer NOT NULL,
    business_date date NOT NULL,
    payment_count smallint NOT NULL,
    refund_count smallint NOT NULL,
    payment_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    payment_method text COLLATE "C" NOT NULL
);
CREATE INDEX fact_document_payment_document_key_idx ON salespulse.fact_document_payment (document_key);
CREATE INDEX fact_document_payment_business_date_idx
ON salespulse.fact_document_payment USING brin (business_date) WITH (pages_per_range = 16);

--------------------------------------------------------------------------------------------------------------- refresh

-- One row: how far the facts reflect the source, and from which server's history that was read.
CREATE TABLE salespulse.refresh_state (
    refresh_state_id boolean PRIMARY KEY DEFAULT true CHECK (refresh_state_id),
    -- every change of a transaction with a lower id is applied
    horizon xid8 NOT NULL,
    -- nothing the facts reflect was written later than this position
    applied_lsn pg_lsn NOT NULL,
    timeline integer NOT NULL,
    system_identifier text NOT NULL,
    -- some change-log rows that were applied (parallel arrays): if they are gone, history was rewritten
    anchor_xids xid8[] NOT NULL DEFAULT '{}',
    anchor_change_ids bigint[] NOT NULL DEFAULT '{}',
    -- the sales are reflected at least up to this moment
    as_of timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL,
    pruned_at timestamptz NOT NULL DEFAULT 'epoch'
)
WITH (fillfactor = 20);

-- Transactions at or above the horizon whose changes are applied already, so that they are not applied again and again
-- while an older transaction stays open.
CREATE TABLE salespulse.seen_transaction (
    xid xid8 PRIMARY KEY
);

-- Documents to apply whatever the change log says: backfills, re-dated stores, reconciliations, released quarantine.
CREATE TABLE salespulse.pending_document (
    pending_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    document_kind text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (document_id, document_kind)
)
WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 50000);

-- Documents that can't be counted as they are. They leave by themselves when the source is mended.
CREATE TABLE salespulse.quarantined_document (
    document_kind text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    store_id text COLLATE "C",
    reason text COLLATE "C" NOT NULL,
    detail text NOT NULL,
    quarantined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document_id, document_kind)
);
CREATE INDEX quarantined_document_store_id_idx ON salespulse.quarantined_document (store_id);

-- One row per refresh that changed something: what the operators see.
CREATE TABLE salespulse.refresh_log (
    refresh_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    as_of timestamptz NOT NULL,
    horizon xid8 NOT NULL,
    changed_documents bigint NOT NULL,
    changed_dimension_rows bigint NOT NULL,
    rows_written bigint NOT NULL
);
CREATE INDEX refresh_log_finished_at_idx ON salespulse.refresh_log (finished_at);

-- One row per break in the source's history that a refresh noticed (failover, restored backup, another server).
CREATE TABLE salespulse.continuity_event (
    continuity_event_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL,
    enqueued_documents bigint NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA salespulse TO salespulse_pipeline;
GRANT USAGE ON SEQUENCE salespulse.fact_document_document_key_seq TO salespulse_pipeline;
GRANT SELECT ON
salespulse.refresh_state, salespulse.refresh_log, salespulse.dim_tenant, salespulse.dim_store, salespulse.dim_product,
salespulse.dim_customer TO salespulse_dashboard;
