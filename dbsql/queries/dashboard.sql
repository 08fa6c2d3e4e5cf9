-- What the dashboard reads, each in a read-only transaction that has set the tenant: row-level security shows that tenant's rows
-- alone. The figures themselves come from functions, whose plans a session keeps.

-- name: role_is_safe
-- Whether this role is held by the row-level policies and can write nothing: asked once at the start.
SELECT
    row_security_active('salespulse.daily_store_sales') AS is_row_security_active,
    has_table_privilege('salespulse.daily_store_sales', 'INSERT, UPDATE, DELETE, TRUNCATE') AS may_write;

-- name: state
-- What moment of the sales the tables reflect; no row before the first refresh.
SELECT
    s.as_of,
    s.refreshed_at
FROM salespulse.refresh_state AS s;

-- name: changed_tenants
SELECT
    c.tenant_key,
    c.changed_at
FROM salespulse.tenants_changed_since(%(since)s) AS c;

-- name: tenant_keys
-- One row per id asked for; an id that is no tenant's has no key.
SELECT
    i.tenant_id,
    salespulse.tenant_key_of(i.tenant_id) AS tenant_key
FROM unnest(%(tenant_ids)s::text[]) AS i (tenant_id);

-- name: api_key_identity
SELECT
    k.api_key_id,
    k.tenant_id,
    k.role
FROM salespulse.api_key_identity(%(key_hash)s) AS k;

-- name: opening
-- The first statement of every reading, in the snapshot of its figures. No row before the first refresh.
SELECT
    o.as_of,
    o.changed_at,
    o.first_date,
    o.last_date,
    o.newest_date,
    o.store_keys
FROM salespulse.dashboard_opening(%(tenant_key)s, %(store_ids)s) AS o;

-- name: figures
-- One row per requested part, as JSON text: see dbsql/functions/. `store_keys` NULL: every store.
SELECT
    f.part,
    f.figures::text AS figures
FROM salespulse.dashboard_figures(
    %(parts)s,
    row(
        %(tenant_key)s, %(store_keys)s, %(from_date)s, %(to_date)s, %(previous_from)s,
        %(day_from)s, %(day_to)s, %(day_is_current)s, %(day_sign)s,
        %(month_from)s, %(month_to)s, %(month_is_current)s, %(month_sign)s,
        %(sort)s, %(row_limit)s, %(row_offset)s
    )::salespulse.dashboard_question
) AS f;

-- name: create_api_key
-- Run by an operator, as the pipeline's role. No row: there is no such tenant.
INSERT INTO salespulse.api_key (tenant_key, key_hash, name, role, expires_at)
SELECT
    t.tenant_key,
    %(key_hash)s,
    %(name)s,
    %(role)s,
    %(expires_at)s
FROM salespulse.dim_tenant AS t
WHERE t.tenant_id = %(tenant_id)s AND NOT t.is_deleted
RETURNING api_key_id;

-- name: list_api_keys
SELECT
    k.api_key_id,
    t.tenant_id,
    t.name AS tenant_name,
    k.name,
    k.role,
    k.created_at,
    k.expires_at,
    k.revoked_at
FROM salespulse.api_key AS k
INNER JOIN salespulse.dim_tenant AS t ON k.tenant_key = t.tenant_key
ORDER BY k.api_key_id;

-- name: revoke_api_key
UPDATE salespulse.api_key SET revoked_at = now() WHERE api_key_id = %(api_key_id)s AND revoked_at IS NULL
RETURNING api_key_id;

-- name: find_tenant
-- By natural key or by name, for the command line; run as the pipeline's role.
SELECT
    t.tenant_id,
    t.name
FROM salespulse.dim_tenant AS t
WHERE (t.tenant_id = %(id_or_name)s OR t.name = %(id_or_name)s) AND NOT t.is_deleted
ORDER BY t.tenant_id
LIMIT 2;
