-- Which tenant a caller is, what changed of which tenant, and who a key or a hook belongs to.
-- The present text, for reading: a migration puts it into the database, and a test compares the two.

CREATE OR REPLACE FUNCTION salespulse.current_tenant_key() RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('salespulse.tenant_key', true), '')::integer;

-- From a tenant's natural key (which a token carries) to its surrogate key; NULL when there is none. The dashboard's role
-- can't list tenants: it can only ask about one that it knows already.
CREATE OR REPLACE FUNCTION salespulse.tenant_key_of(wanted text) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT tenant_key FROM salespulse.dim_tenant WHERE tenant_id = wanted AND NOT is_deleted $$;

-- The tenants of the changed rows get a new version. Statement-level: its cost follows the number of statements.
CREATE OR REPLACE FUNCTION salespulse.mark_tenants_changed() RETURNS trigger
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

-- What changed since a moment, over all tenants: keys and moments, no figures. The API asks for it a few times a second, with
-- no tenant set, instead of once a request.
CREATE OR REPLACE FUNCTION salespulse.tenants_changed_since(since timestamptz)
RETURNS TABLE (tenant_key integer, changed_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT v.tenant_key, v.changed_at FROM salespulse.tenant_version AS v WHERE v.changed_at > since
$$;

-- Whose key this is. The dashboard's role can't list keys, nor hashes: it can only ask about one that it was shown.
CREATE OR REPLACE FUNCTION salespulse.api_key_identity(wanted_hash bytea)
RETURNS TABLE (api_key_id integer, tenant_id text, role text)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.api_key_id, t.tenant_id, k.role
    FROM salespulse.api_key AS k
    INNER JOIN salespulse.dim_tenant AS t ON k.tenant_key = t.tenant_key
    WHERE k.key_hash = wanted_hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
$$;

-- What a hook's address starts, and what its calls are signed with. The dashboard's role can't list hooks: it can only ask
-- about one whose token it was shown.
CREATE OR REPLACE FUNCTION salespulse.inbound_hook_of(wanted_hash bytea)
RETURNS TABLE (hook_id integer, tenant_id text, kind text, params jsonb, secrets text[])
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.hook_id, t.tenant_id, h.kind, h.params,
        array_remove(ARRAY[h.secret, CASE WHEN h.previous_secret_until > clock_timestamp() THEN h.previous_secret END], NULL)
    FROM salespulse.inbound_hook AS h
    INNER JOIN salespulse.dim_tenant AS t ON h.tenant_key = t.tenant_key
    WHERE h.token_hash = wanted_hash AND h.revoked_at IS NULL AND NOT t.is_deleted
$$;
