-- What the dashboard reads, each in a read-only transaction that has set the tenant. Row-level security shows that tenant's
-- rows alone; the condition on tenant_key beside it says the same to a reader, and holds where a role bypasses the policies.
--
-- Parameters that many share: `tenant_key`; `store_keys` (NULL: every store); a period of business dates, `from_date` to
-- `to_date`, both included, and the period of equal length before it, which begins at `previous_from` and ends the day before.
-- Net is gross less discount less refunds, margin is net less cost: subtracted after summing, which is a third cheaper over many rows.

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
-- The first statement of every report, in the snapshot of its figures: what moment they reflect, the tenant's version, the dates
-- that have figures, and the keys of the wanted stores by their natural key (one that is not this tenant's is left out). A sale
-- dated in the future by mistake does not move the default period there. No row before the first refresh.
SELECT
    s.as_of,
    (SELECT v.changed_at FROM salespulse.tenant_version AS v WHERE v.tenant_key = %(tenant_key)s) AS changed_at,
    f.first_date,
    f.last_date,
    (
        SELECT jsonb_object_agg(x.store_id, x.store_key)
        FROM salespulse.dim_store AS x
        WHERE x.tenant_key = %(tenant_key)s AND x.store_id = any(%(store_ids)s)
    ) AS store_keys
FROM salespulse.refresh_state AS s
CROSS JOIN (
    SELECT
        min(d.business_date) AS first_date,
        max(d.business_date) FILTER (WHERE d.business_date <= current_date + 1) AS last_date
    FROM salespulse.daily_store_sales AS d
    WHERE d.tenant_key = %(tenant_key)s
) AS f;

-- name: tenant
SELECT
    t.tenant_id,
    t.name,
    t.time_zone
FROM salespulse.dim_tenant AS t
WHERE t.tenant_key = %(tenant_key)s;

-- name: store_totals
-- Two rows at most: the period and the one before.
SELECT
    (d.business_date >= %(from_date)s) AS is_current,
    sum(d.sale_count)::bigint AS sale_count,
    sum(d.return_count)::bigint AS return_count,
    sum(d.units) AS units,
    sum(d.returned_units) AS returned_units,
    sum(d.gross_amount) AS gross_amount,
    sum(d.discount_amount) AS discount_amount,
    sum(d.tax_amount) AS tax_amount,
    sum(d.refund_amount) AS refund_amount,
    sum(d.cost_amount) AS cost_amount,
    sum(d.net_amount) AS net_amount,
    sum(d.margin_amount) AS margin_amount
FROM salespulse.daily_store_sales AS d
WHERE
    d.tenant_key = %(tenant_key)s
    AND d.business_date BETWEEN %(previous_from)s AND %(to_date)s
    AND (%(store_keys)s::integer[] IS NULL OR d.store_key = any(%(store_keys)s))
GROUP BY (d.business_date >= %(from_date)s);

-- name: days
-- One row per business date with figures.
SELECT
    d.business_date,
    sum(d.sale_count)::bigint AS sale_count,
    sum(d.return_count)::bigint AS return_count,
    sum(d.units) AS units,
    sum(d.returned_units) AS returned_units,
    sum(d.gross_amount) AS gross_amount,
    sum(d.discount_amount) AS discount_amount,
    sum(d.tax_amount) AS tax_amount,
    sum(d.refund_amount) AS refund_amount,
    sum(d.cost_amount) AS cost_amount,
    sum(d.net_amount) AS net_amount,
    sum(d.margin_amount) AS margin_amount
FROM salespulse.daily_store_sales AS d
WHERE
    d.tenant_key = %(tenant_key)s
    AND d.business_date BETWEEN %(from_date)s AND %(to_date)s
    AND (%(store_keys)s::integer[] IS NULL OR d.store_key = any(%(store_keys)s))
GROUP BY d.business_date
ORDER BY d.business_date;

-- name: hours
-- One row per business date and hour with figures.
SELECT
    d.business_date,
    d.business_hour,
    sum(d.sale_count)::bigint AS sale_count,
    sum(d.return_count)::bigint AS return_count,
    sum(d.units) AS units,
    sum(d.gross_amount) AS gross_amount,
    sum(d.refund_amount) AS refund_amount,
    sum(d.net_amount) AS net_amount,
    sum(d.margin_amount) AS margin_amount
FROM salespulse.hourly_store_sales AS d
WHERE
    d.tenant_key = %(tenant_key)s
    AND d.business_date BETWEEN %(previous_from)s AND %(to_date)s
    AND (%(store_keys)s::integer[] IS NULL OR d.store_key = any(%(store_keys)s))
GROUP BY d.business_date, d.business_hour
ORDER BY d.business_date, d.business_hour;

-- name: weekday_hours
-- One row per weekday (ISO: 1 is Monday) and hour with figures.
SELECT
    extract(ISODOW FROM d.business_date)::integer AS weekday,
    d.business_hour::integer AS hour,
    sum(d.sale_count)::bigint AS sale_count,
    sum(d.units) AS units,
    sum(d.net_amount) AS net_amount
FROM salespulse.hourly_store_sales AS d
WHERE
    d.tenant_key = %(tenant_key)s
    AND d.business_date BETWEEN %(from_date)s AND %(to_date)s
    AND (%(store_keys)s::integer[] IS NULL OR d.store_key = any(%(store_keys)s))
GROUP BY extract(ISODOW FROM d.business_date), d.business_hour
ORDER BY extract(ISODOW FROM d.business_date), d.business_hour;

-- name: customer_counts
-- Customers with a sale in the period and in the one before, and those with two or more. Whole months are read from the
-- monthly rollup: the pieces of both periods come as parallel arrays.
WITH piece AS (
    SELECT
        p.is_current,
        d.customer_key,
        d.sale_count
    FROM unnest(%(day_from)s::date[], %(day_to)s::date[], %(day_is_current)s::boolean[]) AS p (from_date, to_date, is_current)
    INNER JOIN salespulse.daily_customer_sales AS d ON d.business_date BETWEEN p.from_date AND p.to_date
    WHERE
        d.tenant_key = %(tenant_key)s
        AND (%(store_keys)s::integer[] IS NULL OR d.store_key = any(%(store_keys)s))
    UNION ALL
    SELECT
        p.is_current,
        m.customer_key,
        m.sale_count
    FROM unnest(%(month_from)s::date[], %(month_to)s::date[], %(month_is_current)s::boolean[]) AS p (from_date, to_date, is_current)
    INNER JOIN salespulse.monthly_customer_sales AS m ON m.business_month BETWEEN p.from_date AND p.to_date
    WHERE
        m.tenant_key = %(tenant_key)s
        AND (%(store_keys)s::integer[] IS NULL OR m.store_key = any(%(store_keys)s))
),

customer AS (
    SELECT
        p.is_current,
        p.customer_key,
        sum(p.sale_count) AS sale_count
    FROM piece AS p
    GROUP BY p.is_current, p.customer_key
)

SELECT
    c.is_current,
    count(*) FILTER (WHERE c.sale_count > 0) AS unique_customers,
    count(*) FILTER (WHERE c.sale_count > 1) AS repeat_customers
FROM customer AS c
GROUP BY c.is_current;

-- name: top_products
-- A page of products, the greatest first by the measure that `sort` names; `previous_*` are the period before.
WITH piece AS (
    SELECT
        p.is_current,
        d.product_key,
        d.units,
        d.returned_units,
        d.gross_amount,
        d.refund_amount,
        d.discount_amount,
        d.cost_amount
    FROM unnest(%(day_from)s::date[], %(day_to)s::date[], %(day_is_current)s::boolean[]) AS p (from_date, to_date, is_current)
    INNER JOIN salespulse.daily_product_sales AS d ON d.business_date BETWEEN p.from_date AND p.to_date
    WHERE
        d.tenant_key = %(tenant_key)s
        AND (%(store_keys)s::integer[] IS NULL OR d.store_key = any(%(store_keys)s))
    UNION ALL
    SELECT
        p.is_current,
        m.product_key,
        m.units,
        m.returned_units,
        m.gross_amount,
        m.refund_amount,
        m.discount_amount,
        m.cost_amount
    FROM unnest(%(month_from)s::date[], %(month_to)s::date[], %(month_is_current)s::boolean[]) AS p (from_date, to_date, is_current)
    INNER JOIN salespulse.monthly_product_sales AS m ON m.business_month BETWEEN p.from_date AND p.to_date
    WHERE
        m.tenant_key = %(tenant_key)s
        AND (%(store_keys)s::integer[] IS NULL OR m.store_key = any(%(store_keys)s))
),

product AS (
    SELECT
        p.product_key,
        sum(p.units) FILTER (WHERE p.is_current) AS units,
        sum(p.returned_units) FILTER (WHERE p.is_current) AS returned_units,
        sum(p.gross_amount) FILTER (WHERE p.is_current) AS gross_amount,
        sum(p.refund_amount) FILTER (WHERE p.is_current) AS refund_amount,
        sum(p.gross_amount) FILTER (WHERE p.is_current)
        - sum(p.discount_amount) FILTER (WHERE p.is_current)
        - sum(p.refund_amount) FILTER (WHERE p.is_current) AS net_amount,
        sum(p.gross_amount) FILTER (WHERE p.is_current)
        - sum(p.discount_amount) FILTER (WHERE p.is_current)
        - sum(p.refund_amount) FILTER (WHERE p.is_current)
        - sum(p.cost_amount) FILTER (WHERE p.is_current) AS margin_amount,
        coalesce(sum(p.units) FILTER (WHERE NOT p.is_current), 0) AS previous_units,
        coalesce(
            sum(p.gross_amount) FILTER (WHERE NOT p.is_current)
            - sum(p.discount_amount) FILTER (WHERE NOT p.is_current)
            - sum(p.refund_amount) FILTER (WHERE NOT p.is_current),
            0
        ) AS previous_net_amount
    FROM piece AS p
    GROUP BY p.product_key
    HAVING bool_or(p.is_current)
),

page AS (
    SELECT
        p.*,
        count(*) OVER () AS total_rows,
        CASE %(sort)s
            WHEN 'units' THEN p.units
            WHEN 'gross' THEN p.gross_amount
            WHEN 'refunds' THEN p.refund_amount
            WHEN 'margin' THEN p.margin_amount
            ELSE p.net_amount
        END AS rank_value
    FROM product AS p
    ORDER BY rank_value DESC, p.product_key ASC
    LIMIT %(row_limit)s OFFSET %(row_offset)s
)

SELECT
    d.product_id,
    d.sku,
    d.name,
    d.product_group_name,
    g.units,
    g.returned_units,
    g.gross_amount,
    g.refund_amount,
    g.net_amount,
    g.margin_amount,
    g.previous_units,
    g.previous_net_amount,
    g.total_rows
FROM page AS g
LEFT JOIN salespulse.dim_product AS d ON g.product_key = d.product_key
ORDER BY g.rank_value DESC, g.product_key ASC;

-- name: product_groups
-- One row per product group of the products sold in either period; products without a group are one row with NULLs.
WITH piece AS (
    SELECT
        p.is_current,
        d.product_key,
        d.units,
        d.gross_amount,
        d.refund_amount,
        d.discount_amount,
        d.cost_amount
    FROM unnest(%(day_from)s::date[], %(day_to)s::date[], %(day_is_current)s::boolean[]) AS p (from_date, to_date, is_current)
    INNER JOIN salespulse.daily_product_sales AS d ON d.business_date BETWEEN p.from_date AND p.to_date
    WHERE
        d.tenant_key = %(tenant_key)s
        AND (%(store_keys)s::integer[] IS NULL OR d.store_key = any(%(store_keys)s))
    UNION ALL
    SELECT
        p.is_current,
        m.product_key,
        m.units,
        m.gross_amount,
        m.refund_amount,
        m.discount_amount,
        m.cost_amount
    FROM unnest(%(month_from)s::date[], %(month_to)s::date[], %(month_is_current)s::boolean[]) AS p (from_date, to_date, is_current)
    INNER JOIN salespulse.monthly_product_sales AS m ON m.business_month BETWEEN p.from_date AND p.to_date
    WHERE
        m.tenant_key = %(tenant_key)s
        AND (%(store_keys)s::integer[] IS NULL OR m.store_key = any(%(store_keys)s))
),

product AS (
    SELECT
        p.product_key,
        sum(p.units) FILTER (WHERE p.is_current) AS units,
        sum(p.refund_amount) FILTER (WHERE p.is_current) AS refund_amount,
        sum(p.gross_amount) FILTER (WHERE p.is_current)
        - sum(p.discount_amount) FILTER (WHERE p.is_current)
        - sum(p.refund_amount) FILTER (WHERE p.is_current) AS net_amount,
        sum(p.gross_amount) FILTER (WHERE p.is_current)
        - sum(p.discount_amount) FILTER (WHERE p.is_current)
        - sum(p.refund_amount) FILTER (WHERE p.is_current)
        - sum(p.cost_amount) FILTER (WHERE p.is_current) AS margin_amount,
        sum(p.gross_amount) FILTER (WHERE NOT p.is_current)
        - sum(p.discount_amount) FILTER (WHERE NOT p.is_current)
        - sum(p.refund_amount) FILTER (WHERE NOT p.is_current) AS previous_net_amount
    FROM piece AS p
    GROUP BY p.product_key
)

SELECT
    d.product_group_id,
    d.product_group_name,
    count(*) FILTER (WHERE p.net_amount IS NOT NULL) AS product_count,
    coalesce(sum(p.units), 0) AS units,
    coalesce(sum(p.refund_amount), 0) AS refund_amount,
    coalesce(sum(p.net_amount), 0) AS net_amount,
    coalesce(sum(p.margin_amount), 0) AS margin_amount,
    coalesce(sum(p.previous_net_amount), 0) AS previous_net_amount
FROM product AS p
LEFT JOIN salespulse.dim_product AS d ON p.product_key = d.product_key
GROUP BY d.product_group_id, d.product_group_name
ORDER BY coalesce(sum(p.net_amount), 0) DESC, d.product_group_id ASC;

-- name: product_sections
-- What the page shows of products, from one pass: groups, the ten greatest by net, the five most refunded. `section` says which
-- a row belongs to; the columns that a section has no use for are NULL.
WITH piece AS (
    SELECT
        p.is_current,
        d.product_key,
        d.units,
        d.returned_units,
        d.gross_amount,
        d.refund_amount,
        d.discount_amount,
        d.cost_amount
    FROM unnest(%(day_from)s::date[], %(day_to)s::date[], %(day_is_current)s::boolean[]) AS p (from_date, to_date, is_current)
    INNER JOIN salespulse.daily_product_sales AS d ON d.business_date BETWEEN p.from_date AND p.to_date
    WHERE
        d.tenant_key = %(tenant_key)s
        AND (%(store_keys)s::integer[] IS NULL OR d.store_key = any(%(store_keys)s))
    UNION ALL
    SELECT
        p.is_current,
        m.product_key,
        m.units,
        m.returned_units,
        m.gross_amount,
        m.refund_amount,
        m.discount_amount,
        m.cost_amount
    FROM unnest(%(month_from)s::date[], %(month_to)s::date[], %(month_is_current)s::boolean[]) AS p (from_date, to_date, is_current)
    INNER JOIN salespulse.monthly_product_sales AS m ON m.business_month BETWEEN p.from_date AND p.to_date
    WHERE
        m.tenant_key = %(tenant_key)s
        AND (%(store_keys)s::integer[] IS NULL OR m.store_key = any(%(store_keys)s))
),

product AS MATERIALIZED (
    SELECT
        p.product_key,
        sum(p.units) FILTER (WHERE p.is_current) AS units,
        sum(p.returned_units) FILTER (WHERE p.is_current) AS returned_units,
        sum(p.gross_amount) FILTER (WHERE p.is_current) AS gross_amount,
        sum(p.refund_amount) FILTER (WHERE p.is_current) AS refund_amount,
        sum(p.gross_amount) FILTER (WHERE p.is_current)
        - sum(p.discount_amount) FILTER (WHERE p.is_current)
        - sum(p.refund_amount) FILTER (WHERE p.is_current) AS net_amount,
        sum(p.gross_amount) FILTER (WHERE p.is_current)
        - sum(p.discount_amount) FILTER (WHERE p.is_current)
        - sum(p.refund_amount) FILTER (WHERE p.is_current)
        - sum(p.cost_amount) FILTER (WHERE p.is_current) AS margin_amount,
        coalesce(sum(p.units) FILTER (WHERE NOT p.is_current), 0) AS previous_units,
        coalesce(
            sum(p.gross_amount) FILTER (WHERE NOT p.is_current)
            - sum(p.discount_amount) FILTER (WHERE NOT p.is_current)
            - sum(p.refund_amount) FILTER (WHERE NOT p.is_current),
            0
        ) AS previous_net_amount
    FROM piece AS p
    GROUP BY p.product_key
),

best AS (
    SELECT p.* FROM product AS p
    WHERE p.net_amount IS NOT NULL
    ORDER BY p.net_amount DESC, p.product_key ASC
    LIMIT 10
),

returned AS (
    SELECT p.* FROM product AS p
    WHERE p.refund_amount > 0
    ORDER BY p.refund_amount DESC, p.product_key ASC
    LIMIT 5
),

shown AS (
    SELECT
        'products' AS section,
        b.*
    FROM best AS b
    UNION ALL
    SELECT
        'returned_products' AS section,
        r.*
    FROM returned AS r
),

member AS (
    SELECT
        s.section,
        s.product_key,
        d.product_id,
        d.sku,
        d.name,
        NULL::text AS product_group_id,
        d.product_group_name,
        NULL::bigint AS product_count,
        s.units,
        s.returned_units,
        s.gross_amount,
        s.refund_amount,
        s.net_amount,
        s.margin_amount,
        s.previous_units,
        s.previous_net_amount,
        CASE s.section WHEN 'products' THEN s.net_amount ELSE s.refund_amount END AS rank_value
    FROM shown AS s
    LEFT JOIN salespulse.dim_product AS d ON s.product_key = d.product_key
    UNION ALL
    SELECT
        'product_groups' AS section,
        NULL AS product_key,
        NULL AS product_id,
        NULL AS sku,
        NULL AS name,
        d.product_group_id,
        d.product_group_name,
        count(*) FILTER (WHERE p.net_amount IS NOT NULL) AS product_count,
        coalesce(sum(p.units), 0) AS units,
        NULL AS returned_units,
        NULL AS gross_amount,
        coalesce(sum(p.refund_amount), 0) AS refund_amount,
        coalesce(sum(p.net_amount), 0) AS net_amount,
        coalesce(sum(p.margin_amount), 0) AS margin_amount,
        NULL AS previous_units,
        coalesce(sum(p.previous_net_amount), 0) AS previous_net_amount,
        coalesce(sum(p.net_amount), 0) AS rank_value
    FROM product AS p
    LEFT JOIN salespulse.dim_product AS d ON p.product_key = d.product_key
    GROUP BY d.product_group_id, d.product_group_name
)

SELECT
    m.section,
    m.product_id,
    m.sku,
    m.name,
    m.product_group_id,
    m.product_group_name,
    m.product_count,
    m.units,
    m.returned_units,
    m.gross_amount,
    m.refund_amount,
    m.net_amount,
    m.margin_amount,
    m.previous_units,
    m.previous_net_amount
FROM member AS m
ORDER BY m.section ASC, m.rank_value DESC, m.product_key ASC, m.product_group_id ASC;

-- name: top_customers
-- A page of customers, the greatest first by the measure that `sort` names.
WITH piece AS (
    SELECT
        p.is_current,
        d.customer_key,
        d.sale_count,
        d.units,
        d.refund_amount,
        d.gross_amount,
        d.discount_amount
    FROM unnest(%(day_from)s::date[], %(day_to)s::date[], %(day_is_current)s::boolean[]) AS p (from_date, to_date, is_current)
    INNER JOIN salespulse.daily_customer_sales AS d ON d.business_date BETWEEN p.from_date AND p.to_date
    WHERE
        d.tenant_key = %(tenant_key)s
        AND (%(store_keys)s::integer[] IS NULL OR d.store_key = any(%(store_keys)s))
    UNION ALL
    SELECT
        p.is_current,
        m.customer_key,
        m.sale_count,
        m.units,
        m.refund_amount,
        m.gross_amount,
        m.discount_amount
    FROM unnest(%(month_from)s::date[], %(month_to)s::date[], %(month_is_current)s::boolean[]) AS p (from_date, to_date, is_current)
    INNER JOIN salespulse.monthly_customer_sales AS m ON m.business_month BETWEEN p.from_date AND p.to_date
    WHERE
        m.tenant_key = %(tenant_key)s
        AND (%(store_keys)s::integer[] IS NULL OR m.store_key = any(%(store_keys)s))
),

customer AS (
    SELECT
        p.customer_key,
        sum(p.sale_count) FILTER (WHERE p.is_current)::bigint AS sale_count,
        sum(p.units) FILTER (WHERE p.is_current) AS units,
        sum(p.refund_amount) FILTER (WHERE p.is_current) AS refund_amount,
        sum(p.gross_amount) FILTER (WHERE p.is_current)
        - sum(p.discount_amount) FILTER (WHERE p.is_current)
        - sum(p.refund_amount) FILTER (WHERE p.is_current) AS net_amount,
        coalesce(
            sum(p.gross_amount) FILTER (WHERE NOT p.is_current)
            - sum(p.discount_amount) FILTER (WHERE NOT p.is_current)
            - sum(p.refund_amount) FILTER (WHERE NOT p.is_current),
            0
        ) AS previous_net_amount
    FROM piece AS p
    GROUP BY p.customer_key
    HAVING bool_or(p.is_current)
),

page AS (
    SELECT
        c.*,
        count(*) OVER () AS total_rows,
        CASE %(sort)s
            WHEN 'units' THEN c.units
            WHEN 'sales' THEN c.sale_count
            WHEN 'refunds' THEN c.refund_amount
            ELSE c.net_amount
        END AS rank_value
    FROM customer AS c
    ORDER BY rank_value DESC, c.customer_key ASC
    LIMIT %(row_limit)s OFFSET %(row_offset)s
)

SELECT
    d.customer_id,
    d.name,
    g.sale_count,
    g.units,
    g.refund_amount,
    g.net_amount,
    g.previous_net_amount,
    g.total_rows
FROM page AS g
LEFT JOIN salespulse.dim_customer AS d ON g.customer_key = d.customer_key
ORDER BY g.rank_value DESC, g.customer_key ASC;

-- name: payments
-- One row per payment method used in either period.
SELECT
    d.payment_method,
    coalesce(sum(d.payment_count) FILTER (WHERE d.business_date >= %(from_date)s), 0)::bigint AS payment_count,
    coalesce(sum(d.refund_count) FILTER (WHERE d.business_date >= %(from_date)s), 0)::bigint AS refund_count,
    coalesce(sum(d.payment_amount) FILTER (WHERE d.business_date >= %(from_date)s), 0) AS payment_amount,
    coalesce(sum(d.refund_amount) FILTER (WHERE d.business_date >= %(from_date)s), 0) AS refund_amount,
    coalesce(
        sum(d.payment_amount - d.refund_amount) FILTER (WHERE d.business_date >= %(from_date)s), 0
    ) AS received_amount,
    coalesce(
        sum(d.payment_amount - d.refund_amount) FILTER (WHERE d.business_date < %(from_date)s), 0
    ) AS previous_received_amount
FROM salespulse.daily_payment_sales AS d
WHERE
    d.tenant_key = %(tenant_key)s
    AND d.business_date BETWEEN %(previous_from)s AND %(to_date)s
    AND (%(store_keys)s::integer[] IS NULL OR d.store_key = any(%(store_keys)s))
GROUP BY d.payment_method
ORDER BY received_amount DESC, d.payment_method ASC;

-- name: stores
-- One row per store that is not deleted or has figures, with its period and the one before; the greatest net first.
SELECT
    s.store_id,
    s.name,
    s.time_zone,
    coalesce(f.sale_count, 0)::bigint AS sale_count,
    coalesce(f.return_count, 0)::bigint AS return_count,
    coalesce(f.units, 0) AS units,
    coalesce(f.gross_amount, 0) AS gross_amount,
    coalesce(f.refund_amount, 0) AS refund_amount,
    coalesce(f.net_amount, 0) AS net_amount,
    coalesce(f.margin_amount, 0) AS margin_amount,
    coalesce(f.previous_net_amount, 0) AS previous_net_amount,
    count(*) OVER () AS total_rows
FROM salespulse.dim_store AS s
LEFT JOIN (
    SELECT
        d.store_key,
        sum(d.sale_count) FILTER (WHERE d.business_date >= %(from_date)s) AS sale_count,
        sum(d.return_count) FILTER (WHERE d.business_date >= %(from_date)s) AS return_count,
        sum(d.units) FILTER (WHERE d.business_date >= %(from_date)s) AS units,
        sum(d.gross_amount) FILTER (WHERE d.business_date >= %(from_date)s) AS gross_amount,
        sum(d.refund_amount) FILTER (WHERE d.business_date >= %(from_date)s) AS refund_amount,
        sum(d.net_amount) FILTER (WHERE d.business_date >= %(from_date)s) AS net_amount,
        sum(d.margin_amount) FILTER (WHERE d.business_date >= %(from_date)s) AS margin_amount,
        sum(d.net_amount) FILTER (WHERE d.business_date < %(from_date)s) AS previous_net_amount
    FROM salespulse.daily_store_sales AS d
    WHERE d.tenant_key = %(tenant_key)s AND d.business_date BETWEEN %(previous_from)s AND %(to_date)s
    GROUP BY d.store_key
) AS f ON s.store_key = f.store_key
WHERE
    s.tenant_key = %(tenant_key)s
    AND (NOT s.is_deleted OR f.store_key IS NOT NULL)
    AND (%(store_keys)s::integer[] IS NULL OR s.store_key = any(%(store_keys)s))
ORDER BY coalesce(f.net_amount, 0) DESC, s.store_key ASC
LIMIT %(row_limit)s OFFSET %(row_offset)s;

-- name: store_names
-- For a picker: every store that is not deleted, by name.
SELECT
    s.store_id,
    s.name
FROM salespulse.dim_store AS s
WHERE s.tenant_key = %(tenant_key)s AND NOT s.is_deleted
ORDER BY s.name ASC, s.store_id ASC
LIMIT 500;

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
WHERE (t.tenant_id = %(wanted)s OR t.name = %(wanted)s) AND NOT t.is_deleted
ORDER BY t.tenant_id
LIMIT 2;
