-- Tenants never see each other: every table that the dashboard's role may read shows only the rows of the tenant that the
-- transaction has set, and none at all when it has set none. The pipeline's role writes for every tenant.

CREATE FUNCTION salespulse.current_tenant_key() RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('salespulse.tenant_key', true), '')::integer;

-- From a tenant's natural key (which a token carries) to its surrogate key; NULL when there is none. The dashboard's role
-- can't list tenants: it can only ask about one that it knows already.
CREATE FUNCTION salespulse.tenant_key_of(wanted text) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT tenant_key FROM salespulse.dim_tenant WHERE tenant_id = wanted AND NOT is_deleted $$;
REVOKE ALL ON FUNCTION salespulse.tenant_key_of(text) FROM public;
GRANT EXECUTE ON FUNCTION salespulse.tenant_key_of(text) TO salespulse_dashboard;

ALTER TABLE salespulse.dim_tenant ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.dim_tenant TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.dim_tenant FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));

ALTER TABLE salespulse.dim_store ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.dim_store TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.dim_store FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));

ALTER TABLE salespulse.dim_product ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.dim_product TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.dim_product FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));

ALTER TABLE salespulse.dim_customer ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.dim_customer TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.dim_customer FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));

ALTER TABLE salespulse.daily_store_sales ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.daily_store_sales TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.daily_store_sales FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));

ALTER TABLE salespulse.hourly_store_sales ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.hourly_store_sales TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.hourly_store_sales FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));

ALTER TABLE salespulse.daily_product_sales ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.daily_product_sales TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.daily_product_sales FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));

ALTER TABLE salespulse.monthly_product_sales ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.monthly_product_sales TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.monthly_product_sales FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));

ALTER TABLE salespulse.daily_customer_sales ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.daily_customer_sales TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.daily_customer_sales FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));

ALTER TABLE salespulse.monthly_customer_sales ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.monthly_customer_sales TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.monthly_customer_sales FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));

ALTER TABLE salespulse.daily_payment_sales ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.daily_payment_sales TO salespulse_pipeline USING (true) WITH CHECK (true);
CREATE POLICY tenant_only ON salespulse.daily_payment_sales FOR SELECT TO salespulse_dashboard
USING (tenant_key = (SELECT salespulse.current_tenant_key()));

GRANT SELECT ON
salespulse.daily_store_sales, salespulse.hourly_store_sales, salespulse.daily_product_sales, salespulse.monthly_product_sales, salespulse.daily_customer_sales, salespulse.monthly_customer_sales, salespulse.daily_payment_sales
TO salespulse_dashboard;
