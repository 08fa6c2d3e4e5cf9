-- What the dashboard reads, as functions: a session plans each statement once and keeps the plan, also through a pooler that hands
-- sessions on after every transaction and so can't keep what a client has prepared. Planning took a third of an answer's time, and
-- sending ten statements half of the API's own. One call gives every part of an answer as text that is ready to be sent: decimals
-- are strings, exact as they are.
--
-- All run as the caller, so that row-level security shows the transaction's tenant alone; the condition on tenant_key beside it says
-- the same to a reader, and holds where a role bypasses the policies. Net is gross less discount less refunds, margin is net less
-- cost: subtracted after summing.

-- What is asked: whose, over which business dates (both ends included, and the period of equal length before them, which begins at
-- previous_from), in which stores (NULL: every one). Rollups by month are read for whole months and those by day for the rest: the
-- pieces of both periods come as parallel arrays. A piece of sign -1 is taken away: a month less a few days is quicker than many days.
-- (The linter takes the brackets of an array type for an operator.)
-- noqa: disable=LT01
CREATE TYPE salespulse.dashboard_question AS (
    tenant_key integer,
    store_keys integer[],
    from_date date,
    to_date date,
    previous_from date,
    day_from date[],
    day_to date[],
    day_is_current boolean[],
    day_sign integer[],
    month_from date[],
    month_to date[],
    month_is_current boolean[],
    month_sign integer[],
    sort text,
    row_limit integer,
    row_offset integer
);
-- noqa: enable=LT01

-- A decimal as answers write it: plain digits, exact as it came; zero and NULL are "0".
CREATE FUNCTION salespulse.plain(value numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(nullif(value, 0)::text, '0');

-- The tenant's name, and for a picker every store that is not deleted, by name.
CREATE FUNCTION salespulse.dashboard_names(asked salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN json_build_object(
        'tenant', (SELECT t.name FROM salespulse.dim_tenant AS t WHERE t.tenant_key = asked.tenant_key),
        'store_names', (
            SELECT json_agg(r) FROM (
                SELECT
                    s.store_id,
                    s.name
                FROM salespulse.dim_store AS s
                WHERE s.tenant_key = asked.tenant_key AND NOT s.is_deleted
                ORDER BY s.name ASC, s.store_id ASC
                LIMIT 500
            ) AS r
        )
    );
END
$$;

-- Days with figures of both periods in order, and the sums of each period.
CREATE FUNCTION salespulse.dashboard_sums(asked salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH day AS MATERIALIZED (
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
                sum(d.cost_amount) AS cost_amount
            FROM salespulse.daily_store_sales AS d
            WHERE
                d.tenant_key = asked.tenant_key
                AND d.business_date BETWEEN asked.previous_from AND asked.to_date
                AND (asked.store_keys IS NULL OR d.store_key = any(asked.store_keys))
            GROUP BY d.business_date
        )

        SELECT json_build_object(
            'days', (
                SELECT json_agg(r) FROM (
                    SELECT
                        d.business_date AS date,
                        d.sale_count,
                        d.return_count,
                        salespulse.plain(d.units) AS units,
                        salespulse.plain(d.returned_units) AS returned_units,
                        salespulse.plain(d.gross_amount) AS gross_amount,
                        salespulse.plain(d.discount_amount) AS discount_amount,
                        salespulse.plain(d.tax_amount) AS tax_amount,
                        salespulse.plain(d.refund_amount) AS refund_amount,
                        salespulse.plain(d.cost_amount) AS cost_amount,
                        salespulse.plain(d.gross_amount - d.discount_amount - d.refund_amount) AS net_amount,
                        salespulse.plain(d.gross_amount - d.discount_amount - d.refund_amount - d.cost_amount) AS margin_amount
                    FROM day AS d
                    ORDER BY d.business_date
                ) AS r
            ),
            'totals', (
                SELECT json_agg(r) FROM (
                    SELECT
                        (d.business_date >= asked.from_date) AS is_current,
                        sum(d.sale_count)::bigint AS sale_count,
                        sum(d.return_count)::bigint AS return_count,
                        salespulse.plain(sum(d.units)) AS units,
                        salespulse.plain(sum(d.returned_units)) AS returned_units,
                        salespulse.plain(sum(d.gross_amount)) AS gross_amount,
                        salespulse.plain(sum(d.discount_amount)) AS discount_amount,
                        salespulse.plain(sum(d.tax_amount)) AS tax_amount,
                        salespulse.plain(sum(d.refund_amount)) AS refund_amount,
                        salespulse.plain(sum(d.cost_amount)) AS cost_amount,
                        salespulse.plain(sum(d.gross_amount) - sum(d.discount_amount) - sum(d.refund_amount)) AS net_amount,
                        salespulse.plain(
                            sum(d.gross_amount) - sum(d.discount_amount) - sum(d.refund_amount) - sum(d.cost_amount)
                        ) AS margin_amount
                    FROM day AS d
                    GROUP BY (d.business_date >= asked.from_date)
                ) AS r
            )
        )
    );
END
$$;

-- One row per business date and hour with figures, of both periods in order.
CREATE FUNCTION salespulse.dashboard_hours(asked salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT json_agg(r) FROM (
            SELECT
                d.business_date AS date,
                d.business_hour AS hour,
                sum(d.sale_count)::bigint AS sale_count,
                sum(d.return_count)::bigint AS return_count,
                salespulse.plain(sum(d.units)) AS units,
                salespulse.plain(sum(d.gross_amount)) AS gross_amount,
                salespulse.plain(sum(d.refund_amount)) AS refund_amount,
                salespulse.plain(sum(d.net_amount)) AS net_amount,
                salespulse.plain(sum(d.margin_amount)) AS margin_amount
            FROM salespulse.hourly_store_sales AS d
            WHERE
                d.tenant_key = asked.tenant_key
                AND d.business_date BETWEEN asked.previous_from AND asked.to_date
                AND (asked.store_keys IS NULL OR d.store_key = any(asked.store_keys))
            GROUP BY d.business_date, d.business_hour
            ORDER BY d.business_date, d.business_hour
        ) AS r
    );
END
$$;

-- One row per weekday (ISO: 1 is Monday) and hour with figures.
CREATE FUNCTION salespulse.dashboard_cells(asked salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT json_agg(r) FROM (
            SELECT
                extract(ISODOW FROM d.business_date)::integer AS weekday,
                d.business_hour::integer AS hour,
                sum(d.sale_count)::bigint AS sale_count,
                salespulse.plain(sum(d.units)) AS units,
                salespulse.plain(sum(d.net_amount)) AS net_amount
            FROM salespulse.hourly_store_sales AS d
            WHERE
                d.tenant_key = asked.tenant_key
                AND d.business_date BETWEEN asked.from_date AND asked.to_date
                AND (asked.store_keys IS NULL OR d.store_key = any(asked.store_keys))
            GROUP BY extract(ISODOW FROM d.business_date), d.business_hour
            ORDER BY extract(ISODOW FROM d.business_date), d.business_hour
        ) AS r
    );
END
$$;

-- Customers with a sale in the period and in the one before, and those with two or more.
CREATE FUNCTION salespulse.dashboard_customer_counts(asked salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH piece AS (
            SELECT
                p.is_current,
                p.sign,
                f.*
            FROM unnest(asked.day_from, asked.day_to, asked.day_is_current, asked.day_sign)
            AS p (from_date, to_date, is_current, sign)
            CROSS JOIN LATERAL (
                SELECT
                    d.customer_key,
                    sum(d.sale_count) AS sale_count
                FROM salespulse.daily_customer_sales AS d
                WHERE
                    d.tenant_key = asked.tenant_key
                    AND d.business_date BETWEEN p.from_date AND p.to_date
                    AND (asked.store_keys IS NULL OR d.store_key = any(asked.store_keys))
                GROUP BY d.customer_key
            ) AS f
            UNION ALL
            SELECT
                p.is_current,
                p.sign,
                f.*
            FROM unnest(asked.month_from, asked.month_to, asked.month_is_current, asked.month_sign)
            AS p (from_date, to_date, is_current, sign)
            CROSS JOIN LATERAL (
                SELECT
                    m.customer_key,
                    sum(m.sale_count) AS sale_count
                FROM salespulse.monthly_customer_sales AS m
                WHERE
                    m.tenant_key = asked.tenant_key
                    AND m.business_month BETWEEN p.from_date AND p.to_date
                    AND (asked.store_keys IS NULL OR m.store_key = any(asked.store_keys))
                GROUP BY m.customer_key
            ) AS f
        ),

        customer AS (
            SELECT
                p.is_current,
                sum(p.sale_count * p.sign) AS sale_count
            FROM piece AS p
            GROUP BY p.is_current, p.customer_key
        )

        SELECT json_agg(r) FROM (
            SELECT
                c.is_current,
                count(*) FILTER (WHERE c.sale_count > 0) AS unique_customers,
                count(*) FILTER (WHERE c.sale_count > 1) AS repeat_customers
            FROM customer AS c
            GROUP BY c.is_current
        ) AS r
    );
END
$$;

-- One row per product with lines in either period; `line_count` counts those of the period, `previous_*` are the period before.
CREATE FUNCTION salespulse.dashboard_product_totals(asked salespulse.dashboard_question)
RETURNS TABLE (
    product_key integer,
    line_count numeric,
    units numeric,
    returned_units numeric,
    gross_amount numeric,
    refund_amount numeric,
    net_amount numeric,
    margin_amount numeric,
    previous_units numeric,
    previous_net_amount numeric
)
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    -- Each piece is summed by itself, so that it is found by tenant and date, however many the planner believes that there are.
    WITH piece AS (
        SELECT
            p.is_current,
            p.sign,
            f.*
        FROM unnest(asked.day_from, asked.day_to, asked.day_is_current, asked.day_sign)
        AS p (from_date, to_date, is_current, sign)
        CROSS JOIN LATERAL (
            SELECT
                d.product_key,
                sum(d.line_count + d.return_line_count) AS line_count,
                sum(d.units) AS units,
                sum(d.returned_units) AS returned_units,
                sum(d.gross_amount) AS gross_amount,
                sum(d.refund_amount) AS refund_amount,
                sum(d.discount_amount) AS discount_amount,
                sum(d.cost_amount) AS cost_amount
            FROM salespulse.daily_product_sales AS d
            WHERE
                d.tenant_key = asked.tenant_key
                AND d.business_date BETWEEN p.from_date AND p.to_date
                AND (asked.store_keys IS NULL OR d.store_key = any(asked.store_keys))
            GROUP BY d.product_key
        ) AS f
        UNION ALL
        SELECT
            p.is_current,
            p.sign,
            f.*
        FROM unnest(asked.month_from, asked.month_to, asked.month_is_current, asked.month_sign)
        AS p (from_date, to_date, is_current, sign)
        CROSS JOIN LATERAL (
            SELECT
                m.product_key,
                sum(m.line_count + m.return_line_count) AS line_count,
                sum(m.units) AS units,
                sum(m.returned_units) AS returned_units,
                sum(m.gross_amount) AS gross_amount,
                sum(m.refund_amount) AS refund_amount,
                sum(m.discount_amount) AS discount_amount,
                sum(m.cost_amount) AS cost_amount
            FROM salespulse.monthly_product_sales AS m
            WHERE
                m.tenant_key = asked.tenant_key
                AND m.business_month BETWEEN p.from_date AND p.to_date
                AND (asked.store_keys IS NULL OR m.store_key = any(asked.store_keys))
            GROUP BY m.product_key
        ) AS f
    ),

    product AS (
        SELECT
            p.product_key,
            coalesce(sum(p.line_count * p.sign) FILTER (WHERE p.is_current), 0) AS line_count,
            coalesce(sum(p.line_count * p.sign) FILTER (WHERE NOT p.is_current), 0) AS previous_line_count,
            sum(p.units * p.sign) FILTER (WHERE p.is_current) AS units,
            sum(p.returned_units * p.sign) FILTER (WHERE p.is_current) AS returned_units,
            sum(p.gross_amount * p.sign) FILTER (WHERE p.is_current) AS gross_amount,
            sum(p.refund_amount * p.sign) FILTER (WHERE p.is_current) AS refund_amount,
            sum((p.gross_amount - p.discount_amount - p.refund_amount) * p.sign) FILTER (WHERE p.is_current) AS net_amount,
            sum(p.cost_amount * p.sign) FILTER (WHERE p.is_current) AS cost_amount,
            sum(p.units * p.sign) FILTER (WHERE NOT p.is_current) AS previous_units,
            sum((p.gross_amount - p.discount_amount - p.refund_amount) * p.sign) FILTER (WHERE NOT p.is_current)
            AS previous_net_amount
        FROM piece AS p
        GROUP BY p.product_key
    )

    SELECT
        p.product_key,
        p.line_count,
        coalesce(p.units, 0),
        coalesce(p.returned_units, 0),
        coalesce(p.gross_amount, 0),
        coalesce(p.refund_amount, 0),
        coalesce(p.net_amount, 0),
        coalesce(p.net_amount - p.cost_amount, 0),
        coalesce(p.previous_units, 0),
        coalesce(p.previous_net_amount, 0)
    FROM product AS p
    WHERE p.line_count > 0 OR p.previous_line_count > 0;
END
$$;

-- What the page shows of products, from one pass: the ten greatest by net, the five most refunded, and one row per product group
-- of the products sold in either period (products without a group are one row with NULLs).
CREATE FUNCTION salespulse.dashboard_products(asked salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH product AS MATERIALIZED (
            SELECT t.* FROM salespulse.dashboard_product_totals(asked) AS t
        ),

        best AS (
            SELECT p.* FROM product AS p
            WHERE p.line_count > 0
            ORDER BY p.net_amount DESC, p.product_key ASC
            LIMIT 10
        ),

        returned AS (
            SELECT p.* FROM product AS p
            WHERE p.refund_amount > 0
            ORDER BY p.refund_amount DESC, p.product_key ASC
            LIMIT 5
        ),

        groups AS (
            SELECT
                d.product_group_id,
                d.product_group_name,
                count(*) FILTER (WHERE p.line_count > 0) AS product_count,
                sum(p.units) AS units,
                sum(p.refund_amount) AS refund_amount,
                sum(p.net_amount) AS net_amount,
                sum(p.margin_amount) AS margin_amount,
                sum(p.previous_net_amount) AS previous_net_amount
            FROM product AS p
            LEFT JOIN salespulse.dim_product AS d ON p.product_key = d.product_key
            GROUP BY d.product_group_id, d.product_group_name
        )

        SELECT json_build_object(
            'products', (
                SELECT json_agg(r) FROM (
                    SELECT
                        d.product_id,
                        d.sku,
                        d.name,
                        d.product_group_name,
                        salespulse.plain(b.units) AS units,
                        salespulse.plain(b.returned_units) AS returned_units,
                        salespulse.plain(b.gross_amount) AS gross_amount,
                        salespulse.plain(b.refund_amount) AS refund_amount,
                        salespulse.plain(b.net_amount) AS net_amount,
                        salespulse.plain(b.margin_amount) AS margin_amount,
                        salespulse.plain(b.previous_units) AS previous_units,
                        salespulse.plain(b.previous_net_amount) AS previous_net_amount
                    FROM best AS b
                    LEFT JOIN salespulse.dim_product AS d ON b.product_key = d.product_key
                    ORDER BY b.net_amount DESC, b.product_key ASC
                ) AS r
            ),
            'returned_products', (
                SELECT json_agg(r) FROM (
                    SELECT
                        d.product_id,
                        d.sku,
                        d.name,
                        d.product_group_name,
                        salespulse.plain(b.units) AS units,
                        salespulse.plain(b.returned_units) AS returned_units,
                        salespulse.plain(b.gross_amount) AS gross_amount,
                        salespulse.plain(b.refund_amount) AS refund_amount,
                        salespulse.plain(b.net_amount) AS net_amount,
                        salespulse.plain(b.margin_amount) AS margin_amount,
                        salespulse.plain(b.previous_units) AS previous_units,
                        salespulse.plain(b.previous_net_amount) AS previous_net_amount
                    FROM returned AS b
                    LEFT JOIN salespulse.dim_product AS d ON b.product_key = d.product_key
                    ORDER BY b.refund_amount DESC, b.product_key ASC
                ) AS r
            ),
            'product_groups', (
                SELECT json_agg(r) FROM (
                    SELECT
                        g.product_group_id,
                        g.product_group_name,
                        g.product_count,
                        salespulse.plain(g.units) AS units,
                        salespulse.plain(g.refund_amount) AS refund_amount,
                        salespulse.plain(g.net_amount) AS net_amount,
                        salespulse.plain(g.margin_amount) AS margin_amount,
                        salespulse.plain(g.previous_net_amount) AS previous_net_amount
                    FROM groups AS g
                    ORDER BY g.net_amount DESC, g.product_group_id ASC
                ) AS r
            )
        )
    );
END
$$;

-- A page of products, the greatest first by the measure that `sort` names; `total_rows` counts all.
CREATE FUNCTION salespulse.dashboard_top_products(asked salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH page AS (
            SELECT
                p.*,
                count(*) OVER () AS total_rows,
                CASE asked.sort
                    WHEN 'units' THEN p.units
                    WHEN 'gross' THEN p.gross_amount
                    WHEN 'refunds' THEN p.refund_amount
                    WHEN 'margin' THEN p.margin_amount
                    ELSE p.net_amount
                END AS rank_value
            FROM salespulse.dashboard_product_totals(asked) AS p
            WHERE p.line_count > 0
            ORDER BY rank_value DESC, p.product_key ASC
            LIMIT asked.row_limit OFFSET asked.row_offset
        )

        SELECT json_build_object('total_rows', coalesce(max(r.total_rows), 0), 'rows', json_agg(r.line)) FROM (
            SELECT
                g.total_rows,
                json_build_object(
                    'product_id', d.product_id,
                    'sku', d.sku,
                    'name', d.name,
                    'product_group_name', d.product_group_name,
                    'units', salespulse.plain(g.units),
                    'returned_units', salespulse.plain(g.returned_units),
                    'gross_amount', salespulse.plain(g.gross_amount),
                    'refund_amount', salespulse.plain(g.refund_amount),
                    'net_amount', salespulse.plain(g.net_amount),
                    'margin_amount', salespulse.plain(g.margin_amount),
                    'previous_units', salespulse.plain(g.previous_units),
                    'previous_net_amount', salespulse.plain(g.previous_net_amount)
                ) AS line
            FROM page AS g
            LEFT JOIN salespulse.dim_product AS d ON g.product_key = d.product_key
            ORDER BY g.rank_value DESC, g.product_key ASC
        ) AS r
    );
END
$$;

-- A page of customers, the greatest first by the measure that `sort` names; `total_rows` counts all.
CREATE FUNCTION salespulse.dashboard_top_customers(asked salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH piece AS (
            SELECT
                p.is_current,
                p.sign,
                f.*
            FROM unnest(asked.day_from, asked.day_to, asked.day_is_current, asked.day_sign)
            AS p (from_date, to_date, is_current, sign)
            CROSS JOIN LATERAL (
                SELECT
                    d.customer_key,
                    sum(d.sale_count) AS sale_count,
                    sum(d.sale_count + d.return_count) AS document_count,
                    sum(d.units) AS units,
                    sum(d.refund_amount) AS refund_amount,
                    sum(d.gross_amount) - sum(d.discount_amount) - sum(d.refund_amount) AS net_amount
                FROM salespulse.daily_customer_sales AS d
                WHERE
                    d.tenant_key = asked.tenant_key
                    AND d.business_date BETWEEN p.from_date AND p.to_date
                    AND (asked.store_keys IS NULL OR d.store_key = any(asked.store_keys))
                GROUP BY d.customer_key
            ) AS f
            UNION ALL
            SELECT
                p.is_current,
                p.sign,
                f.*
            FROM unnest(asked.month_from, asked.month_to, asked.month_is_current, asked.month_sign)
            AS p (from_date, to_date, is_current, sign)
            CROSS JOIN LATERAL (
                SELECT
                    m.customer_key,
                    sum(m.sale_count) AS sale_count,
                    sum(m.sale_count + m.return_count) AS document_count,
                    sum(m.units) AS units,
                    sum(m.refund_amount) AS refund_amount,
                    sum(m.gross_amount) - sum(m.discount_amount) - sum(m.refund_amount) AS net_amount
                FROM salespulse.monthly_customer_sales AS m
                WHERE
                    m.tenant_key = asked.tenant_key
                    AND m.business_month BETWEEN p.from_date AND p.to_date
                    AND (asked.store_keys IS NULL OR m.store_key = any(asked.store_keys))
                GROUP BY m.customer_key
            ) AS f
        ),

        customer AS (
            SELECT
                p.customer_key,
                sum(p.sale_count * p.sign) FILTER (WHERE p.is_current) AS sale_count,
                sum(p.units * p.sign) FILTER (WHERE p.is_current) AS units,
                sum(p.refund_amount * p.sign) FILTER (WHERE p.is_current) AS refund_amount,
                sum(p.net_amount * p.sign) FILTER (WHERE p.is_current) AS net_amount,
                sum(p.net_amount * p.sign) FILTER (WHERE NOT p.is_current) AS previous_net_amount
            FROM piece AS p
            GROUP BY p.customer_key
            HAVING sum(p.document_count * p.sign) FILTER (WHERE p.is_current) > 0
        ),

        page AS (
            SELECT
                c.*,
                count(*) OVER () AS total_rows,
                CASE asked.sort
                    WHEN 'units' THEN c.units
                    WHEN 'sales' THEN c.sale_count
                    WHEN 'refunds' THEN c.refund_amount
                    ELSE c.net_amount
                END AS rank_value
            FROM customer AS c
            ORDER BY rank_value DESC, c.customer_key ASC
            LIMIT asked.row_limit OFFSET asked.row_offset
        )

        SELECT json_build_object('total_rows', coalesce(max(r.total_rows), 0), 'rows', json_agg(r.line)) FROM (
            SELECT
                g.total_rows,
                json_build_object(
                    'customer_id', d.customer_id,
                    'name', d.name,
                    'sale_count', g.sale_count::bigint,
                    'units', salespulse.plain(g.units),
                    'refund_amount', salespulse.plain(g.refund_amount),
                    'net_amount', salespulse.plain(g.net_amount),
                    'previous_net_amount', salespulse.plain(g.previous_net_amount)
                ) AS line
            FROM page AS g
            LEFT JOIN salespulse.dim_customer AS d ON g.customer_key = d.customer_key
            ORDER BY g.rank_value DESC, g.customer_key ASC
        ) AS r
    );
END
$$;

-- One row per payment method used in either period, the greatest amount received first.
CREATE FUNCTION salespulse.dashboard_payments(asked salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH method AS (
            SELECT
                d.payment_method,
                sum(d.payment_count) FILTER (WHERE d.business_date >= asked.from_date) AS payment_count,
                sum(d.refund_count) FILTER (WHERE d.business_date >= asked.from_date) AS refund_count,
                sum(d.payment_amount) FILTER (WHERE d.business_date >= asked.from_date) AS payment_amount,
                sum(d.refund_amount) FILTER (WHERE d.business_date >= asked.from_date) AS refund_amount,
                coalesce(
                    sum(d.payment_amount - d.refund_amount) FILTER (WHERE d.business_date >= asked.from_date), 0
                ) AS received_amount,
                sum(d.payment_amount - d.refund_amount) FILTER (WHERE d.business_date < asked.from_date)
                AS previous_received_amount
            FROM salespulse.daily_payment_sales AS d
            WHERE
                d.tenant_key = asked.tenant_key
                AND d.business_date BETWEEN asked.previous_from AND asked.to_date
                AND (asked.store_keys IS NULL OR d.store_key = any(asked.store_keys))
            GROUP BY d.payment_method
        )

        SELECT json_agg(r) FROM (
            SELECT
                m.payment_method,
                coalesce(m.payment_count, 0)::bigint AS payment_count,
                coalesce(m.refund_count, 0)::bigint AS refund_count,
                salespulse.plain(m.payment_amount) AS payment_amount,
                salespulse.plain(m.refund_amount) AS refund_amount,
                salespulse.plain(m.received_amount) AS received_amount,
                salespulse.plain(m.previous_received_amount) AS previous_received_amount
            FROM method AS m
            ORDER BY m.received_amount DESC, m.payment_method ASC
        ) AS r
    );
END
$$;

-- A page of the stores that are not deleted or have figures, with their period and the one before; the greatest net first.
CREATE FUNCTION salespulse.dashboard_stores(asked salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH store AS (
            SELECT
                d.store_key,
                sum(d.sale_count) FILTER (WHERE d.business_date >= asked.from_date) AS sale_count,
                sum(d.return_count) FILTER (WHERE d.business_date >= asked.from_date) AS return_count,
                sum(d.units) FILTER (WHERE d.business_date >= asked.from_date) AS units,
                sum(d.gross_amount) FILTER (WHERE d.business_date >= asked.from_date) AS gross_amount,
                sum(d.refund_amount) FILTER (WHERE d.business_date >= asked.from_date) AS refund_amount,
                sum(d.net_amount) FILTER (WHERE d.business_date >= asked.from_date) AS net_amount,
                sum(d.margin_amount) FILTER (WHERE d.business_date >= asked.from_date) AS margin_amount,
                sum(d.net_amount) FILTER (WHERE d.business_date < asked.from_date) AS previous_net_amount
            FROM salespulse.daily_store_sales AS d
            WHERE d.tenant_key = asked.tenant_key AND d.business_date BETWEEN asked.previous_from AND asked.to_date
            GROUP BY d.store_key
        ),

        page AS (
            SELECT
                s.store_key,
                s.store_id,
                s.name,
                s.time_zone,
                f.sale_count,
                f.return_count,
                f.units,
                f.gross_amount,
                f.refund_amount,
                coalesce(f.net_amount, 0) AS net_amount,
                f.margin_amount,
                f.previous_net_amount,
                count(*) OVER () AS total_rows
            FROM salespulse.dim_store AS s
            LEFT JOIN store AS f ON s.store_key = f.store_key
            WHERE
                s.tenant_key = asked.tenant_key
                AND (NOT s.is_deleted OR f.store_key IS NOT NULL)
                AND (asked.store_keys IS NULL OR s.store_key = any(asked.store_keys))
            ORDER BY coalesce(f.net_amount, 0) DESC, s.store_key ASC
            LIMIT asked.row_limit OFFSET asked.row_offset
        )

        SELECT json_build_object('total_rows', coalesce(max(r.total_rows), 0), 'rows', json_agg(r.line)) FROM (
            SELECT
                g.total_rows,
                json_build_object(
                    'store_id', g.store_id,
                    'name', g.name,
                    'time_zone', g.time_zone,
                    'sale_count', coalesce(g.sale_count, 0)::bigint,
                    'return_count', coalesce(g.return_count, 0)::bigint,
                    'units', salespulse.plain(g.units),
                    'gross_amount', salespulse.plain(g.gross_amount),
                    'refund_amount', salespulse.plain(g.refund_amount),
                    'net_amount', salespulse.plain(g.net_amount),
                    'margin_amount', salespulse.plain(g.margin_amount),
                    'previous_net_amount', salespulse.plain(g.previous_net_amount)
                ) AS line
            FROM page AS g
            ORDER BY g.net_amount DESC, g.store_key ASC
        ) AS r
    );
END
$$;

-- The wanted parts of an answer, one row each; NULL where there are no rows. Whatever the dates and the stores, the way through the
-- tables is the same: by tenant and date. So one plan serves all, and is never made anew.
CREATE FUNCTION salespulse.dashboard_figures(parts text[], asked salespulse.dashboard_question)
RETURNS TABLE (part text, figures json)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    FOREACH part IN ARRAY parts LOOP
        figures := CASE part
            WHEN 'names' THEN salespulse.dashboard_names(asked)
            WHEN 'sums' THEN salespulse.dashboard_sums(asked)
            WHEN 'hours' THEN salespulse.dashboard_hours(asked)
            WHEN 'cells' THEN salespulse.dashboard_cells(asked)
            WHEN 'customer_counts' THEN salespulse.dashboard_customer_counts(asked)
            WHEN 'products' THEN salespulse.dashboard_products(asked)
            WHEN 'top_products' THEN salespulse.dashboard_top_products(asked)
            WHEN 'top_customers' THEN salespulse.dashboard_top_customers(asked)
            WHEN 'payments' THEN salespulse.dashboard_payments(asked)
            WHEN 'stores' THEN salespulse.dashboard_stores(asked)
        END;
        RETURN NEXT;
    END LOOP;
END
$$;

-- The first thing read of every answer, in the snapshot of its figures: what moment they reflect, the tenant's version, the dates that
-- have figures, and the keys of the wanted stores by their natural key (one that is not this tenant's is left out). `newest_date` may
-- lie in the future: a sale dated there by mistake does not move the default period, which ends at `last_date`. No row before the
-- first refresh.
CREATE FUNCTION salespulse.dashboard_opening(wanted_tenant integer, wanted_stores text[])
RETURNS TABLE (as_of timestamptz, changed_at timestamptz, first_date date, last_date date, newest_date date, store_keys jsonb)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        s.as_of,
        (SELECT v.changed_at FROM salespulse.tenant_version AS v WHERE v.tenant_key = wanted_tenant),
        f.first_date,
        f.last_date,
        f.newest_date,
        (
            SELECT jsonb_object_agg(x.store_id, x.store_key)
            FROM salespulse.dim_store AS x
            WHERE x.tenant_key = wanted_tenant AND x.store_id = any(wanted_stores)
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
                    WHERE d.tenant_key = wanted_tenant AND d.store_key = x.store_key
                ) AS first_date,
                (
                    SELECT max(d.business_date)
                    FROM salespulse.daily_store_sales AS d
                    WHERE d.tenant_key = wanted_tenant AND d.store_key = x.store_key AND d.business_date <= current_date + 1
                ) AS last_date,
                (
                    SELECT max(d.business_date)
                    FROM salespulse.daily_store_sales AS d
                    WHERE d.tenant_key = wanted_tenant AND d.store_key = x.store_key
                ) AS newest_date
        ) AS e
        WHERE x.tenant_key = wanted_tenant
    ) AS f;
END
$$;
