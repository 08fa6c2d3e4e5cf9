-- Stores and payment methods.

-- A page of the stores that are not deleted or have figures, with their period and the one before; the greatest net first.
CREATE OR REPLACE FUNCTION salespulse.dashboard_stores(question salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH store AS (
            SELECT
                d.store_key,
                sum(d.sale_count) FILTER (WHERE d.business_date >= question.from_date) AS sale_count,
                sum(d.return_count) FILTER (WHERE d.business_date >= question.from_date) AS return_count,
                sum(d.units) FILTER (WHERE d.business_date >= question.from_date) AS units,
                sum(d.gross_amount) FILTER (WHERE d.business_date >= question.from_date) AS gross_amount,
                sum(d.refund_amount) FILTER (WHERE d.business_date >= question.from_date) AS refund_amount,
                sum(d.net_amount) FILTER (WHERE d.business_date >= question.from_date) AS net_amount,
                sum(d.margin_amount) FILTER (WHERE d.business_date >= question.from_date) AS margin_amount,
                sum(d.net_amount) FILTER (WHERE d.business_date < question.from_date) AS previous_net_amount
            FROM salespulse.daily_store_sales AS d
            WHERE d.tenant_key = question.tenant_key AND d.business_date BETWEEN question.previous_from AND question.to_date
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
                s.tenant_key = question.tenant_key
                AND (NOT s.is_deleted OR f.store_key IS NOT NULL)
                AND (question.store_keys IS NULL OR s.store_key = any(question.store_keys))
            ORDER BY coalesce(f.net_amount, 0) DESC, s.store_key ASC
            LIMIT question.row_limit OFFSET question.row_offset
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

-- One row per payment method used in either period, the greatest amount received first.
CREATE OR REPLACE FUNCTION salespulse.dashboard_payments(question salespulse.dashboard_question) RETURNS json
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        WITH method AS (
            SELECT
                d.payment_method,
                sum(d.payment_count) FILTER (WHERE d.business_date >= question.from_date) AS payment_count,
                sum(d.refund_count) FILTER (WHERE d.business_date >= question.from_date) AS refund_count,
                sum(d.payment_amount) FILTER (WHERE d.business_date >= question.from_date) AS payment_amount,
                sum(d.refund_amount) FILTER (WHERE d.business_date >= question.from_date) AS refund_amount,
                coalesce(
                    sum(d.payment_amount - d.refund_amount) FILTER (WHERE d.business_date >= question.from_date), 0
                ) AS received_amount,
                sum(d.payment_amount - d.refund_amount) FILTER (WHERE d.business_date < question.from_date)
                AS previous_received_amount
            FROM salespulse.daily_payment_sales AS d
            WHERE
                d.tenant_key = question.tenant_key
                AND d.business_date BETWEEN question.previous_from AND question.to_date
                AND (question.store_keys IS NULL OR d.store_key = any(question.store_keys))
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
