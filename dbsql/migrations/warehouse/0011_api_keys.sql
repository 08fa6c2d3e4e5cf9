-- API keys of machines. The key itself is shown once, when it is made; only its SHA-256 is kept. A key is 256 random bits, so
-- that a slow hash would add nothing.

CREATE TABLE salespulse.api_key (
    api_key_id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    tenant_key integer NOT NULL REFERENCES salespulse.dim_tenant (tenant_key),
    key_hash bytea NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    -- what a person calls it
    name text NOT NULL,
    role text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- NULL: until it is revoked
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_key_tenant_key_idx ON salespulse.api_key (tenant_key);

GRANT SELECT, INSERT, UPDATE ON salespulse.api_key TO salespulse_pipeline;
ALTER TABLE salespulse.api_key ENABLE ROW LEVEL SECURITY;
CREATE POLICY pipeline_all ON salespulse.api_key TO salespulse_pipeline USING (true) WITH CHECK (true);

-- Whose key this is. The dashboard's role can't list keys, nor hashes: it can only ask about one that it was shown.
CREATE FUNCTION salespulse.api_key_identity(wanted_hash bytea)
RETURNS TABLE (api_key_id integer, tenant_id text, role text)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.api_key_id, t.tenant_id, k.role
    FROM salespulse.api_key AS k
    INNER JOIN salespulse.dim_tenant AS t ON k.tenant_key = t.tenant_key
    WHERE k.key_hash = wanted_hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
$$;
REVOKE ALL ON FUNCTION salespulse.api_key_identity(bytea) FROM public;
GRANT EXECUTE ON FUNCTION salespulse.api_key_identity(bytea) TO salespulse_dashboard;
