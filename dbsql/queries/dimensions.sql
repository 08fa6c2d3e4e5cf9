-- Dimension rows: staged from the replica, then merged. A row that is gone from the source stays, marked deleted, since
-- facts may point at it.

-- name: create_stage_tenant
CREATE TEMP TABLE stage_tenant (tenant_id text, name text, time_zone text) ON COMMIT DROP;

-- name: create_stage_store
CREATE TEMP TABLE stage_store (tenant_id text, store_id text, name text, time_zone text) ON COMMIT DROP;

-- name: create_stage_product
CREATE TEMP TABLE stage_product (
    tenant_id text, product_id text, sku text, name text, product_group_id text, product_group_name text
) ON COMMIT DROP;

-- name: create_stage_customer
CREATE TEMP TABLE stage_customer (tenant_id text, customer_id text, name text) ON COMMIT DROP;

-- name: copy_stage_tenant
COPY pg_temp.stage_tenant FROM STDIN;

-- name: copy_stage_store
COPY pg_temp.stage_store FROM STDIN;

-- name: copy_stage_product
COPY pg_temp.stage_product FROM STDIN;

-- name: copy_stage_customer
COPY pg_temp.stage_customer FROM STDIN;

-- name: merge_tenant
MERGE INTO salespulse.dim_tenant AS d
USING pg_temp.stage_tenant AS s ON d.tenant_id = s.tenant_id
WHEN MATCHED AND (d.name, d.time_zone, d.is_deleted) IS DISTINCT FROM (s.name, s.time_zone, false) THEN
    UPDATE SET name = s.name, time_zone = s.time_zone, is_deleted = false
WHEN NOT MATCHED THEN
    INSERT (tenant_id, name, time_zone) VALUES (s.tenant_id, s.name, s.time_zone);

-- name: delete_tenant
UPDATE salespulse.dim_tenant AS d
SET is_deleted = true
WHERE
    NOT d.is_deleted
    AND (%(is_whole)s OR d.tenant_id = any(%(keys)s))
    AND NOT EXISTS (SELECT FROM pg_temp.stage_tenant AS s WHERE s.tenant_id = d.tenant_id);

-- name: merge_store
MERGE INTO salespulse.dim_store AS d
USING (
    SELECT
        t.tenant_key,
        s.store_id,
        s.name,
        s.time_zone
    FROM pg_temp.stage_store AS s
    INNER JOIN salespulse.dim_tenant AS t ON s.tenant_id = t.tenant_id
) AS s ON d.tenant_key = s.tenant_key AND d.store_id = s.store_id
WHEN MATCHED AND (d.name, d.own_time_zone, d.is_deleted) IS DISTINCT FROM (s.name, s.time_zone, false) THEN
    UPDATE SET name = s.name, own_time_zone = s.time_zone, is_deleted = false
WHEN NOT MATCHED THEN
    INSERT (tenant_key, store_id, name, own_time_zone) VALUES (s.tenant_key, s.store_id, s.name, s.time_zone);

-- name: merge_product
MERGE INTO salespulse.dim_product AS d
USING (
    SELECT
        t.tenant_key,
        s.product_id,
        s.sku,
        s.name,
        s.product_group_id,
        s.product_group_name
    FROM pg_temp.stage_product AS s
    INNER JOIN salespulse.dim_tenant AS t ON s.tenant_id = t.tenant_id
) AS s ON d.tenant_key = s.tenant_key AND d.product_id = s.product_id
WHEN
MATCHED
AND (d.sku, d.name, d.product_group_id, d.product_group_name, d.is_deleted)
IS DISTINCT FROM (s.sku, s.name, s.product_group_id, s.product_group_name, false) THEN
    UPDATE SET
        sku = s.sku,
        name = s.name,
        product_group_id = s.product_group_id,
        product_group_name = s.product_group_name,
        is_deleted = false
WHEN NOT MATCHED THEN
    INSERT (tenant_key, product_id, sku, name, product_group_id, product_group_name)
    VALUES (s.tenant_key, s.product_id, s.sku, s.name, s.product_group_id, s.product_group_name);

-- name: merge_customer
MERGE INTO salespulse.dim_customer AS d
USING (
    SELECT
        t.tenant_key,
        s.customer_id,
        s.name
    FROM pg_temp.stage_customer AS s
    INNER JOIN salespulse.dim_tenant AS t ON s.tenant_id = t.tenant_id
) AS s ON d.tenant_key = s.tenant_key AND d.customer_id = s.customer_id
WHEN MATCHED AND (d.name, d.is_deleted) IS DISTINCT FROM (s.name, false) THEN
    UPDATE SET name = s.name, is_deleted = false
WHEN NOT MATCHED THEN
    INSERT (tenant_key, customer_id, name) VALUES (s.tenant_key, s.customer_id, s.name);

-- name: delete_members
-- Mark the stores, products or customers that the source no longer has.
UPDATE {dimension} AS d
SET is_deleted = true
FROM salespulse.dim_tenant AS t
WHERE
    d.tenant_key = t.tenant_key
    AND NOT d.is_deleted
    AND (%(is_whole)s OR d.{member_id} = any(%(keys)s))
    AND NOT EXISTS (SELECT FROM {stage} AS s WHERE s.{member_id} = d.{member_id} AND s.tenant_id = t.tenant_id);

-- name: infer_tenants
-- A dimension row may arrive before its tenant's own row, when a batch was cut between the two, or have none at all. Until the
-- tenant's row is there it counts as deleted: whether its sales count must not depend on which came first.
INSERT INTO salespulse.dim_tenant (tenant_id, is_deleted)
SELECT DISTINCT
    s.tenant_id,
    true AS is_deleted
FROM {stage} AS s
WHERE s.tenant_id IS NOT null AND NOT EXISTS (SELECT FROM salespulse.dim_tenant AS t WHERE t.tenant_id = s.tenant_id);

-- name: update_stores_in_force
-- The zone in force is the store's, else the tenant's. Where it changed, or the store became usable or unusable, every
-- document of the store is queued: its business dates may be others now.
WITH in_force AS (
    SELECT
        s.store_key,
        coalesce(s.own_time_zone, t.time_zone) AS time_zone,
        NOT s.is_deleted
        AND NOT t.is_deleted
        AND coalesce(salespulse.is_time_zone(coalesce(s.own_time_zone, t.time_zone)), false) AS is_usable
    FROM salespulse.dim_store AS s
    INNER JOIN salespulse.dim_tenant AS t ON s.tenant_key = t.tenant_key
),

changed AS (
    UPDATE salespulse.dim_store AS d
    SET
        time_zone = w.time_zone,
        is_usable = w.is_usable
    FROM in_force AS w
    WHERE d.store_key = w.store_key AND (d.time_zone, d.is_usable) IS DISTINCT FROM (w.time_zone, w.is_usable)
    RETURNING d.store_key, d.store_id
)

INSERT INTO salespulse.pending_document (document_kind, document_id, reason)
SELECT
    f.document_kind,
    f.document_id,
    'store changed' AS reason
FROM changed AS c
INNER JOIN salespulse.fact_document AS f ON c.store_key = f.store_key
UNION ALL
SELECT
    q.document_kind,
    q.document_id,
    'store mended' AS reason
FROM changed AS c
INNER JOIN salespulse.quarantined_document AS q ON c.store_id = q.store_id
ON CONFLICT DO NOTHING;

-- name: requeue_quarantined_tenants
-- Documents in quarantine for a tenant that exists now; what else they lack, if anything, shows when they are applied.
INSERT INTO salespulse.pending_document (document_kind, document_id, reason)
SELECT
    q.document_kind,
    q.document_id,
    'tenant mended' AS reason
FROM salespulse.quarantined_document AS q
INNER JOIN salespulse.dim_tenant AS t ON q.tenant_id = t.tenant_id
WHERE q.reason = 'unknown tenant' AND NOT t.is_deleted
ON CONFLICT DO NOTHING;
