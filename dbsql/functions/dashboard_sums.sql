-- Sums by day, by hour, and by weekday and hour.

-- Days with figures of both periods in order, and the sums of each period.
CREATE OR REPLACE FUNCTION salespulse.dashboard_sums(question salespulse.dashboard_question) RETURNS json
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
                d.tenant_key = question.tenant_key
                AND d.business_date BETWEEN question.previous_from AND question.to_date
                AND (question.store_keys IS NULL OR d.store_key = any(question.store_keys))
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
                        (d.business_date >= question.from_date) AS is_current,
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
                    GROUP BY (d.business_date >= question.from_date)
                ) AS r
            )
        )
    );
END
$$;

-- One row per business date and hour with figures, of both periods in order.
CREATE OR REPLACE FUNCTION salespulse.dashboard_hours(question salespulse.dashboard_question) RETURNS json
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
                d.tenant_key = question.tenant_key
                AND d.business_date BETWEEN question.previous_from AND question.to_date
                AND (question.store_keys IS NULL OR d.store_key = any(question.store_keys))
            GROUP BY d.business_date, d.business_hour
            ORDER BY d.business_date, d.business_hour
        ) AS r
    );
END
$$;

-- One row per weekday (ISO: 1 is Monday) and hour with figures.
CREATE OR REPLACE FUNCTION salespulse.dashboard_cells(question salespulse.dashboard_question) RETURNS json
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
                d.tenant_key = question.tenant_key
                AND d.business_date BETWEEN question.from_date AND question.to_date
                AND (question.store_keys IS NULL OR d.store_key = any(question.store_keys))
            GROUP BY extract(ISODOW FROM d.business_date), d.business_hour
            ORDER BY extract(ISODOW FROM d.business_date), d.business_hour
        ) AS r
    );
END
$$;
