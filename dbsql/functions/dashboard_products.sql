-- Products and product groups: totals, the chart, the top products.

-- One row per product with lines in either period; `line_count` counts those of the period, `previous_*` are the period before.
CREATE OR REPLACE FUNCTION salespulse.dashboard_product_totals(question salespulse.dashboard_question)
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
        FROM unnest(question.day_from, question.day_to, question.day_is_current, question.day_sign)
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
                d.tenant_key = question.tenant_key
                AND d.business_date BETWEEN p.from_date AND p.to_date
                AND (question.store_keys IS NULL OR d.store_key = any(question.store_keys))
            GROUP BY d.product_key
        ) AS f
        UNION ALL
        SELECT
            p.is_current,
            p.sign,
            f.*
        FROM unnest(question.month_from, question.month_to, question.month_is_current, question.month_sign)
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
                m.tenant_key = question.tenant_key
                AND m.business_month BETWEEN p.from_date AND p.to_date
                AND (question.store_keys IS NULL OR m.store_key = any(question.store_keys))
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
CREATE OR REPLACE FUNCTION salespulse.dashboard_products(question salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH product AS MATERIALIZED (
            SELECT t.* FROM salespulse.dashboard_product_totals(question) AS t
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
CREATE OR REPLACE FUNCTION salespulse.dashboard_top_products(question salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH page AS (
            SELECT
                p.*,
                count(*) OVER () AS total_rows,
                CASE question.sort
                    WHEN 'units' THEN p.units
                    WHEN 'gross' THEN p.gross_amount
                    WHEN 'refunds' THEN p.refund_amount
                    WHEN 'margin' THEN p.margin_amount
                    ELSE p.net_amount
                END AS rank_value
            FROM salespulse.dashboard_product_totals(question) AS p
            WHERE p.line_count > 0
            ORDER BY rank_value DESC, p.product_key ASC
            LIMIT question.row_limit OFFSET question.row_offset
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
