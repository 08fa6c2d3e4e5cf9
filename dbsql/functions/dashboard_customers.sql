-- Customers: how many bought, and the top customers.

-- Customers with a sale in the period and in the one before, and those with two or more.
CREATE OR REPLACE FUNCTION salespulse.dashboard_customer_counts(question salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH piece AS (
            SELECT
                p.is_current,
                p.sign,
                f.*
            FROM unnest(question.day_from, question.day_to, question.day_is_current, question.day_sign)
            AS p (from_date, to_date, is_current, sign)
            CROSS JOIN LATERAL (
                SELECT
                    d.customer_key,
                    sum(d.sale_count) AS sale_count
                FROM salespulse.daily_customer_sales AS d
                WHERE
                    d.tenant_key = question.tenant_key
                    AND d.business_date BETWEEN p.from_date AND p.to_date
                    AND (question.store_keys IS NULL OR d.store_key = any(question.store_keys))
                GROUP BY d.customer_key
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
                    m.customer_key,
                    sum(m.sale_count) AS sale_count
                FROM salespulse.monthly_customer_sales AS m
                WHERE
                    m.tenant_key = question.tenant_key
                    AND m.business_month BETWEEN p.from_date AND p.to_date
                    AND (question.store_keys IS NULL OR m.store_key = any(question.store_keys))
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

-- A page of customers, the greatest first by the measure that `sort` names; `total_rows` counts all.
CREATE OR REPLACE FUNCTION salespulse.dashboard_top_customers(question salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH piece AS (
            SELECT
                p.is_current,
                p.sign,
                f.*
            FROM unnest(question.day_from, question.day_to, question.day_is_current, question.day_sign)
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
                    d.tenant_key = question.tenant_key
                    AND d.business_date BETWEEN p.from_date AND p.to_date
                    AND (question.store_keys IS NULL OR d.store_key = any(question.store_keys))
                GROUP BY d.customer_key
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
                    m.customer_key,
                    sum(m.sale_count) AS sale_count,
                    sum(m.sale_count + m.return_count) AS document_count,
                    sum(m.units) AS units,
                    sum(m.refund_amount) AS refund_amount,
                    sum(m.gross_amount) - sum(m.discount_amount) - sum(m.refund_amount) AS net_amount
                FROM salespulse.monthly_customer_sales AS m
                WHERE
                    m.tenant_key = question.tenant_key
                    AND m.business_month BETWEEN p.from_date AND p.to_date
                    AND (question.store_keys IS NULL OR m.store_key = any(question.store_keys))
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
                CASE question.sort
                    WHEN 'units' THEN c.units
                    WHEN 'sales' THEN c.sale_count
                    WHEN 'refunds' THEN c.refund_amount
                    ELSE c.net_amount
                END AS rank_value
            FROM customer AS c
            ORDER BY rank_value DESC, c.customer_key ASC
            LIMIT question.row_limit OFFSET question.row_offset
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
