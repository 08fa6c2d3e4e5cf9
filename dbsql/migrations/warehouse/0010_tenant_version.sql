-- When each tenant's figures last changed, so that a cached answer can be told to hold without asking for it again. One
-- refresh serves every tenant; only those whose sales it touched get a new version.

-- One row per tenant whose figures have ever changed.
CREATE TABLE salespulse.tenant_version (
    tenant_key integer PRIMARY KEY,
    -- a moment within the transaction that changed them; only ever later than the one before
    changed_at timestamptz NOT NULL
)
WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE ON salespulse.tenant_version TO salespulse_pipeline;
GRANT SELECT ON salespulse.tenant_version TO salespulse_dashboard;

ALTER TABLE salespulse.tenant_version ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.tenant_version TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.tenant_version FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));

-- The tenants of the changed rows get a new version. Statement-level: its cost follows the number of statements.
CREATE FUNCTION salespulse.mark_tenants_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO salespulse.tenant_version AS v (tenant_key, changed_at)
    SELECT c.tenant_key, clock_timestamp() FROM changed_row AS c
    GROUP BY c.tenant_key
    ORDER BY c.tenant_key
    ON CONFLICT (tenant_key) DO UPDATE
    SET changed_at = greatest(excluded.changed_at, v.changed_at + interval '1 microsecond');
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION salespulse.mark_tenants_changed() FROM public;

-- Every refreshed document passes through fact_document; names shown on the dashboard live in the dimensions. A document
-- that moves to another tenant leaves the first one's figures, hence both sides of an update.
CREATE TRIGGER mark_inserted AFTER INSERT ON salespulse.fact_document
REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();
CREATE TRIGGER mark_updated AFTER UPDATE ON salespulse.fact_document
REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();
CREATE TRIGGER mark_left AFTER UPDATE ON salespulse.fact_document
REFERENCING OLD TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();
CREATE TRIGGER mark_deleted AFTER DELETE ON salespulse.fact_document
REFERENCING OLD TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();
CREATE TRIGGER mark_updated AFTER UPDATE ON salespulse.dim_tenant
REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();
CREATE TRIGGER mark_updated AFTER UPDATE ON salespulse.dim_store
REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();
CREATE TRIGGER mark_updated AFTER UPDATE ON salespulse.dim_product
REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();
CREATE TRIGGER mark_updated AFTER UPDATE ON salespulse.dim_customer
REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();

-- What changed since a moment, over all tenants: keys and moments, no figures. The API asks for it a few times a second, with
-- no tenant set, instead of once a request.
CREATE FUNCTION salespulse.tenants_changed_since(since timestamptz)
RETURNS TABLE (tenant_key integer, changed_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT v.tenant_key, v.changed_at FROM salespulse.tenant_version AS v WHERE v.changed_at > since
$$;
REVOKE ALL ON FUNCTION salespulse.tenants_changed_since(timestamptz) FROM public;
GRANT EXECUTE ON FUNCTION salespulse.tenants_changed_since(timestamptz) TO salespulse_dashboard;

-- Figures that were refreshed before this table was there.
INSERT INTO salespulse.tenant_version (tenant_key, changed_at)
SELECT t.tenant_key, clock_timestamp() FROM salespulse.dim_tenant AS t;
