-- What the dashboard reads, as functions: a session plans each statement once and keeps the plan, also through a pooler that hands
-- sessions on after every transaction and so can't keep what a client has prepared. One call gives every part of an answer as text
-- that is ready to be sent: decimals are strings, exact as they are. Here is the way in: the parts by name, what is read before them,
-- and how decimals are written. See dashboard_sums.sql and its neighbours for the parts.
--
-- All run as the caller, so that row-level security shows the transaction's tenant alone; the condition on tenant_key beside it says
-- the same to a reader, and holds where a role bypasses the policies. Net is gross less discount less refunds, margin is net less
-- cost: subtracted after summing.

-- The first thing read of every answer, in the snapshot of its figures: what moment they reflect, the tenant's version, the dates that
-- have figures, and the keys of the requested stores by their natural key (one that is not this tenant's is left out). `newest_date` may
-- lie in the future: a sale dated there by mistake does not move the default period, which ends at `last_date`. No row before the
-- first refresh.
CREATE OR REPLACE FUNCTION salespulse.dashboard_opening(tenant integer, store_ids text[])
RETURNS TABLE (as_of timestamptz, changed_at timestamptz, first_date date, last_date date, newest_date date, store_keys jsonb)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        s.as_of,
        (SELECT v.changed_at FROM salespulse.tenant_version AS v WHERE v.tenant_key = tenant),
        f.first_date,
        f.last_date,
        f.newest_date,
        (
            SELECT jsonb_object_agg(x.store_id, x.store_key)
            FROM salespulse.dim_store AS x
            WHERE x.tenant_key = tenant AND x.store_id = any(store_ids)
        )
    FROM salespulse.refresh_state AS s
    CROSS JOIN (
        -- Three looks into the index per store, however many days it has.
        SELECT
            min(e.first_date) AS first_date,
            max(e.last_date) AS last_date,
            max(e.newest_date) AS newest_date
        FROM salespulse.dim_store AS x
        CROSS JOIN LATERAL (
            SELECT
                (
                    SELECT min(d.business_date)
                    FROM salespulse.daily_store_sales AS d
                    WHERE d.tenant_key = tenant AND d.store_key = x.store_key
                ) AS first_date,
                (
                    SELECT max(d.business_date)
                    FROM salespulse.daily_store_sales AS d
                    WHERE d.tenant_key = tenant AND d.store_key = x.store_key AND d.business_date <= current_date + 1
                ) AS last_date,
                (
                    SELECT max(d.business_date)
                    FROM salespulse.daily_store_sales AS d
                    WHERE d.tenant_key = tenant AND d.store_key = x.store_key
                ) AS newest_date
        ) AS e
        WHERE x.tenant_key = tenant
    ) AS f;
END
$$;

-- The requested parts of an answer, one row each; NULL where there are no rows. Whatever the dates and the stores, the way through the
-- tables is the same: by tenant and date. So one plan serves all, and is never planned again.
CREATE OR REPLACE FUNCTION salespulse.dashboard_figures(parts text[], question salespulse.dashboard_question)
RETURNS TABLE (part text, figures json)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    FOREACH part IN ARRAY parts LOOP
        figures := CASE part
            WHEN 'names' THEN salespulse.dashboard_names(question)
            WHEN 'sums' THEN salespulse.dashboard_sums(question)
            WHEN 'hours' THEN salespulse.dashboard_hours(question)
            WHEN 'cells' THEN salespulse.dashboard_cells(question)
            WHEN 'customer_counts' THEN salespulse.dashboard_customer_counts(question)
            WHEN 'products' THEN salespulse.dashboard_products(question)
            WHEN 'top_products' THEN salespulse.dashboard_top_products(question)
            WHEN 'top_customers' THEN salespulse.dashboard_top_customers(question)
            WHEN 'payments' THEN salespulse.dashboard_payments(question)
            WHEN 'stores' THEN salespulse.dashboard_stores(question)
        END;
        RETURN NEXT;
    END LOOP;
END
$$;

-- The tenant's name, and for a picker every store that is not deleted, by name.
CREATE OR REPLACE FUNCTION salespulse.dashboard_names(question salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN json_build_object(
        'tenant', (SELECT t.name FROM salespulse.dim_tenant AS t WHERE t.tenant_key = question.tenant_key),
        'store_names', (
            SELECT json_agg(r) FROM (
                SELECT
                    s.store_id,
                    s.name
                FROM salespulse.dim_store AS s
                WHERE s.tenant_key = question.tenant_key AND NOT s.is_deleted
                ORDER BY s.name ASC, s.store_id ASC
                LIMIT 500
            ) AS r
        )
    );
END
$$;

-- A decimal as answers write it: plain digits, exact as it came; zero and NULL are "0".
CREATE OR REPLACE FUNCTION salespulse.plain(value numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(nullif(value, 0)::text, '0');
