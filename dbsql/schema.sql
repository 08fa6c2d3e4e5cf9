-- The schema that the migrations give, for reading. Written by tools/dump-schema: change the migrations, not this.

CREATE SCHEMA salespulse;

CREATE SCHEMA salespulse_source;

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

CREATE FUNCTION salespulse.api_key_identity(wanted_hash bytea) RETURNS TABLE(api_key_id integer, tenant_id text, role text)
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT k.api_key_id, t.tenant_id, k.role
    FROM salespulse.api_key AS k
    INNER JOIN salespulse.dim_tenant AS t ON k.tenant_key = t.tenant_key
    WHERE k.key_hash = wanted_hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
$$;

CREATE FUNCTION salespulse.current_tenant_key() RETURNS integer
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (NULLIF(current_setting('salespulse.tenant_key'::text, true), ''::text))::integer;

CREATE FUNCTION salespulse.dashboard_cells(question salespulse.dashboard_question) RETURNS json
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

CREATE FUNCTION salespulse.dashboard_customer_counts(question salespulse.dashboard_question) RETURNS json
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

CREATE FUNCTION salespulse.dashboard_figures(parts text[], question salespulse.dashboard_question) RETURNS TABLE(part text, figures json)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
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

CREATE FUNCTION salespulse.dashboard_hours(question salespulse.dashboard_question) RETURNS json
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

CREATE FUNCTION salespulse.dashboard_names(question salespulse.dashboard_question) RETURNS json
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

CREATE FUNCTION salespulse.dashboard_opening(tenant integer, store_ids text[]) RETURNS TABLE(as_of timestamp with time zone, changed_at timestamp with time zone, first_date date, last_date date, newest_date date, store_keys jsonb)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
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

CREATE FUNCTION salespulse.dashboard_payments(question salespulse.dashboard_question) RETURNS json
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

CREATE FUNCTION salespulse.dashboard_product_totals(question salespulse.dashboard_question) RETURNS TABLE(product_key integer, line_count numeric, units numeric, returned_units numeric, gross_amount numeric, refund_amount numeric, net_amount numeric, margin_amount numeric, previous_units numeric, previous_net_amount numeric)
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

CREATE FUNCTION salespulse.dashboard_products(question salespulse.dashboard_question) RETURNS json
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

CREATE FUNCTION salespulse.dashboard_stores(question salespulse.dashboard_question) RETURNS json
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

CREATE FUNCTION salespulse.dashboard_sums(question salespulse.dashboard_question) RETURNS json
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

CREATE FUNCTION salespulse.dashboard_top_customers(question salespulse.dashboard_question) RETURNS json
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

CREATE FUNCTION salespulse.dashboard_top_products(question salespulse.dashboard_question) RETURNS json
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

CREATE FUNCTION salespulse.inbound_hook_of(wanted_hash bytea) RETURNS TABLE(hook_id integer, tenant_id text, kind text, params jsonb, secrets text[])
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT h.hook_id, t.tenant_id, h.kind, h.params,
        array_remove(ARRAY[h.secret, CASE WHEN h.previous_secret_until > clock_timestamp() THEN h.previous_secret END], NULL)
    FROM salespulse.inbound_hook AS h
    INNER JOIN salespulse.dim_tenant AS t ON h.tenant_key = t.tenant_key
    WHERE h.token_hash = wanted_hash AND h.revoked_at IS NULL AND NOT t.is_deleted
$$;

CREATE FUNCTION salespulse.is_time_zone(zone text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
    IF zone ~ '[0-9<]' THEN
        IF zone !~* '^((etc/)?gmt[+-]?0|etc/gmt(\+([1-9]|1[0-2])|-([1-9]|1[0-4]))|est5edt|cst6cdt|mst7mdt|pst8pdt)$' THEN
            RETURN false;
        END IF;
    ELSIF lower(zone) IN ('localtime', 'posixrules') OR zone ~* '^(posix|right)/' THEN
        RETURN false;
    ELSIF lower(zone) NOT IN ('utc', 'uct', 'gmt', 'zulu', 'est', 'mst', 'hst') AND zone NOT LIKE '%/%' THEN
        IF EXISTS (SELECT FROM pg_timezone_abbrevs AS a WHERE a.abbrev = upper(zone)) THEN
            RETURN false;
        END IF;
    END IF;
    RETURN (timestamptz 'epoch' AT TIME ZONE zone) IS NOT NULL;
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN false;
END
$_$;

CREATE FUNCTION salespulse.mark_tenants_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
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

CREATE FUNCTION salespulse.plain(value numeric) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE((NULLIF(value, (0)::numeric))::text, '0'::text);

CREATE FUNCTION salespulse.tenant_key_of(wanted text) RETURNS integer
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$ SELECT tenant_key FROM salespulse.dim_tenant WHERE tenant_id = wanted AND NOT is_deleted $$;

CREATE FUNCTION salespulse.tenants_changed_since(since timestamp with time zone) RETURNS TABLE(tenant_key integer, changed_at timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT v.tenant_key, v.changed_at FROM salespulse.tenant_version AS v WHERE v.changed_at > since
$$;

CREATE FUNCTION salespulse_source.receiver_timeline() RETURNS integer
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$ SELECT received_tli FROM pg_stat_wal_receiver $$;

CREATE TABLE salespulse.api_key (
    api_key_id integer NOT NULL,
    tenant_key integer NOT NULL,
    key_hash bytea NOT NULL,
    name text NOT NULL,
    role text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_key_key_hash_check CHECK ((length(key_hash) = 32))
);

ALTER TABLE salespulse.api_key ALTER COLUMN api_key_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME salespulse.api_key_api_key_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE salespulse.continuity_event (
    continuity_event_id bigint NOT NULL,
    noticed_at timestamp with time zone DEFAULT now() NOT NULL,
    reason text NOT NULL,
    enqueued_documents bigint NOT NULL
);

ALTER TABLE salespulse.continuity_event ALTER COLUMN continuity_event_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME salespulse.continuity_event_continuity_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE salespulse.daily_customer_sales (
    tenant_key integer NOT NULL,
    business_date date NOT NULL,
    customer_key integer NOT NULL,
    store_key integer NOT NULL,
    sale_count bigint NOT NULL,
    return_count bigint NOT NULL,
    line_count bigint NOT NULL,
    return_line_count bigint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL
)
WITH (fillfactor='85');

COMMENT ON COLUMN salespulse.daily_customer_sales.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.daily_customer_sales.business_date IS 'day of the sale or return, local to the store';

COMMENT ON COLUMN salespulse.daily_customer_sales.customer_key IS 'surrogate key of the customer (dim_customer)';

COMMENT ON COLUMN salespulse.daily_customer_sales.store_key IS 'surrogate key of the store (dim_store)';

COMMENT ON COLUMN salespulse.daily_customer_sales.sale_count IS 'sales';

COMMENT ON COLUMN salespulse.daily_customer_sales.return_count IS 'returns';

COMMENT ON COLUMN salespulse.daily_customer_sales.line_count IS 'sale lines';

COMMENT ON COLUMN salespulse.daily_customer_sales.return_line_count IS 'return lines';

COMMENT ON COLUMN salespulse.daily_customer_sales.units IS 'units sold, in the product''s own unit (pieces, kg)';

COMMENT ON COLUMN salespulse.daily_customer_sales.returned_units IS 'units returned, positive';

COMMENT ON COLUMN salespulse.daily_customer_sales.gross_amount IS 'money: quantity times price, before discount';

COMMENT ON COLUMN salespulse.daily_customer_sales.discount_amount IS 'money: discount, positive';

COMMENT ON COLUMN salespulse.daily_customer_sales.tax_amount IS 'money: tax, as the source states it; no part of net or margin';

COMMENT ON COLUMN salespulse.daily_customer_sales.cost_amount IS 'money: cost of goods sold less cost of goods returned';

COMMENT ON COLUMN salespulse.daily_customer_sales.refund_amount IS 'money: refunds, positive';

CREATE TABLE salespulse.daily_payment_sales (
    tenant_key integer NOT NULL,
    store_key integer NOT NULL,
    business_date date NOT NULL,
    payment_method text NOT NULL COLLATE pg_catalog."C",
    payment_count bigint NOT NULL,
    refund_count bigint NOT NULL,
    payment_amount numeric NOT NULL,
    refund_amount numeric NOT NULL
)
WITH (fillfactor='85');

COMMENT ON COLUMN salespulse.daily_payment_sales.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.daily_payment_sales.store_key IS 'surrogate key of the store (dim_store)';

COMMENT ON COLUMN salespulse.daily_payment_sales.business_date IS 'day of the sale or return, local to the store';

COMMENT ON COLUMN salespulse.daily_payment_sales.payment_method IS 'as the application names it';

COMMENT ON COLUMN salespulse.daily_payment_sales.payment_count IS 'payments taken for sales';

COMMENT ON COLUMN salespulse.daily_payment_sales.refund_count IS 'payments given back for returns';

COMMENT ON COLUMN salespulse.daily_payment_sales.payment_amount IS 'money taken for sales';

COMMENT ON COLUMN salespulse.daily_payment_sales.refund_amount IS 'money given back for returns, positive';

CREATE TABLE salespulse.daily_product_sales (
    tenant_key integer NOT NULL,
    business_date date NOT NULL,
    product_key integer NOT NULL,
    store_key integer NOT NULL,
    line_count bigint NOT NULL,
    return_line_count bigint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL
)
WITH (fillfactor='85');

COMMENT ON COLUMN salespulse.daily_product_sales.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.daily_product_sales.business_date IS 'day of the sale or return, local to the store';

COMMENT ON COLUMN salespulse.daily_product_sales.product_key IS 'surrogate key of the product (dim_product); 0: a line without a product';

COMMENT ON COLUMN salespulse.daily_product_sales.store_key IS 'surrogate key of the store (dim_store)';

COMMENT ON COLUMN salespulse.daily_product_sales.line_count IS 'sale lines';

COMMENT ON COLUMN salespulse.daily_product_sales.return_line_count IS 'return lines';

COMMENT ON COLUMN salespulse.daily_product_sales.units IS 'units sold, in the product''s own unit (pieces, kg)';

COMMENT ON COLUMN salespulse.daily_product_sales.returned_units IS 'units returned, positive';

COMMENT ON COLUMN salespulse.daily_product_sales.gross_amount IS 'money: quantity times price, before discount';

COMMENT ON COLUMN salespulse.daily_product_sales.discount_amount IS 'money: discount, positive';

COMMENT ON COLUMN salespulse.daily_product_sales.tax_amount IS 'money: tax, as the source states it; no part of net or margin';

COMMENT ON COLUMN salespulse.daily_product_sales.cost_amount IS 'money: cost of goods sold less cost of goods returned';

COMMENT ON COLUMN salespulse.daily_product_sales.refund_amount IS 'money: refunds, positive';

CREATE TABLE salespulse.daily_store_sales (
    tenant_key integer NOT NULL,
    store_key integer NOT NULL,
    business_date date NOT NULL,
    sale_count bigint NOT NULL,
    return_count bigint NOT NULL,
    line_count bigint NOT NULL,
    return_line_count bigint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    net_amount numeric GENERATED ALWAYS AS (((gross_amount - discount_amount) - refund_amount)) STORED NOT NULL,
    margin_amount numeric GENERATED ALWAYS AS ((((gross_amount - discount_amount) - refund_amount) - cost_amount)) STORED NOT NULL
)
WITH (fillfactor='85');

COMMENT ON COLUMN salespulse.daily_store_sales.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.daily_store_sales.store_key IS 'surrogate key of the store (dim_store)';

COMMENT ON COLUMN salespulse.daily_store_sales.business_date IS 'day of the sale or return, local to the store';

COMMENT ON COLUMN salespulse.daily_store_sales.sale_count IS 'sales';

COMMENT ON COLUMN salespulse.daily_store_sales.return_count IS 'returns';

COMMENT ON COLUMN salespulse.daily_store_sales.line_count IS 'sale lines';

COMMENT ON COLUMN salespulse.daily_store_sales.return_line_count IS 'return lines';

COMMENT ON COLUMN salespulse.daily_store_sales.units IS 'units sold, in the product''s own unit (pieces, kg)';

COMMENT ON COLUMN salespulse.daily_store_sales.returned_units IS 'units returned, positive';

COMMENT ON COLUMN salespulse.daily_store_sales.gross_amount IS 'money: quantity times price, before discount';

COMMENT ON COLUMN salespulse.daily_store_sales.discount_amount IS 'money: discount, positive';

COMMENT ON COLUMN salespulse.daily_store_sales.tax_amount IS 'money: tax, as the source states it; no part of net or margin';

COMMENT ON COLUMN salespulse.daily_store_sales.cost_amount IS 'money: cost of goods sold less cost of goods returned';

COMMENT ON COLUMN salespulse.daily_store_sales.refund_amount IS 'money: refunds, positive';

COMMENT ON COLUMN salespulse.daily_store_sales.net_amount IS 'money: gross less discount less refunds; computed by the database';

COMMENT ON COLUMN salespulse.daily_store_sales.margin_amount IS 'money: net less cost; computed by the database';

CREATE TABLE salespulse.dim_customer (
    customer_key integer NOT NULL,
    tenant_key integer NOT NULL,
    customer_id text NOT NULL COLLATE pg_catalog."C",
    name text,
    is_deleted boolean DEFAULT false NOT NULL
);

COMMENT ON COLUMN salespulse.dim_customer.customer_key IS 'surrogate key';

COMMENT ON COLUMN salespulse.dim_customer.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.dim_customer.customer_id IS 'the application''s key of the customer, as text';

COMMENT ON COLUMN salespulse.dim_customer.name IS 'the customer''s name; NULL until its own row was read';

COMMENT ON COLUMN salespulse.dim_customer.is_deleted IS 'deleted in the application; the row stays because facts refer to it';

ALTER TABLE salespulse.dim_customer ALTER COLUMN customer_key ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME salespulse.dim_customer_customer_key_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE salespulse.dim_product (
    product_key integer NOT NULL,
    tenant_key integer NOT NULL,
    product_id text NOT NULL COLLATE pg_catalog."C",
    sku text,
    name text,
    product_group_id text COLLATE pg_catalog."C",
    product_group_name text,
    is_deleted boolean DEFAULT false NOT NULL
);

COMMENT ON COLUMN salespulse.dim_product.product_key IS 'surrogate key';

COMMENT ON COLUMN salespulse.dim_product.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.dim_product.product_id IS 'the application''s key of the product, as text';

COMMENT ON COLUMN salespulse.dim_product.sku IS 'article number; NULL until the product''s own row was read';

COMMENT ON COLUMN salespulse.dim_product.name IS 'the product''s name; NULL until its own row was read';

COMMENT ON COLUMN salespulse.dim_product.product_group_id IS 'the application''s key of the group, as text';

COMMENT ON COLUMN salespulse.dim_product.product_group_name IS 'the group''s name';

COMMENT ON COLUMN salespulse.dim_product.is_deleted IS 'deleted in the application; the row stays because facts refer to it';

ALTER TABLE salespulse.dim_product ALTER COLUMN product_key ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME salespulse.dim_product_product_key_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE salespulse.dim_store (
    store_key integer NOT NULL,
    tenant_key integer NOT NULL,
    store_id text NOT NULL COLLATE pg_catalog."C",
    name text,
    own_time_zone text,
    time_zone text,
    is_usable boolean DEFAULT false NOT NULL,
    is_deleted boolean DEFAULT false NOT NULL
);

COMMENT ON COLUMN salespulse.dim_store.store_key IS 'surrogate key';

COMMENT ON COLUMN salespulse.dim_store.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.dim_store.store_id IS 'the application''s key of the store, as text';

COMMENT ON COLUMN salespulse.dim_store.name IS 'the store''s name in the application';

COMMENT ON COLUMN salespulse.dim_store.own_time_zone IS 'IANA name that the store itself has; NULL: the tenant''s zone holds';

COMMENT ON COLUMN salespulse.dim_store.time_zone IS 'IANA name of the zone in force; business dates are counted in it';

COMMENT ON COLUMN salespulse.dim_store.is_usable IS 'whether its sales can be counted: the zone is known, store and tenant exist';

COMMENT ON COLUMN salespulse.dim_store.is_deleted IS 'deleted in the application; the row stays because facts refer to it';

ALTER TABLE salespulse.dim_store ALTER COLUMN store_key ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME salespulse.dim_store_store_key_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE salespulse.dim_tenant (
    tenant_key integer NOT NULL,
    tenant_id text NOT NULL COLLATE pg_catalog."C",
    name text,
    time_zone text,
    is_deleted boolean DEFAULT false NOT NULL
);

COMMENT ON COLUMN salespulse.dim_tenant.tenant_key IS 'surrogate key';

COMMENT ON COLUMN salespulse.dim_tenant.tenant_id IS 'the application''s key of the tenant, as text';

COMMENT ON COLUMN salespulse.dim_tenant.name IS 'the tenant''s name in the application';

COMMENT ON COLUMN salespulse.dim_tenant.time_zone IS 'IANA name of the tenant''s time zone';

COMMENT ON COLUMN salespulse.dim_tenant.is_deleted IS 'deleted in the application, or not there yet while its stores, products or customers are; its documents wait in quarantine';

ALTER TABLE salespulse.dim_tenant ALTER COLUMN tenant_key ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME salespulse.dim_tenant_tenant_key_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE salespulse.fact_document (
    document_key bigint NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    tenant_key integer NOT NULL,
    store_key integer NOT NULL,
    customer_key integer,
    business_date date NOT NULL,
    business_hour smallint NOT NULL,
    sale_count smallint NOT NULL,
    return_count smallint NOT NULL,
    line_count integer NOT NULL,
    return_line_count integer NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    document_kind text NOT NULL COLLATE pg_catalog."C",
    document_id text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT fact_document_business_hour_check CHECK (((business_hour >= 0) AND (business_hour <= 23))),
    CONSTRAINT fact_document_document_kind_check CHECK ((document_kind = ANY (ARRAY['sale'::text, 'return'::text])))
)
WITH (fillfactor='90');

COMMENT ON COLUMN salespulse.fact_document.document_key IS 'surrogate key';

COMMENT ON COLUMN salespulse.fact_document.occurred_at IS 'moment of the sale or return';

COMMENT ON COLUMN salespulse.fact_document.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.fact_document.store_key IS 'surrogate key of the store (dim_store)';

COMMENT ON COLUMN salespulse.fact_document.customer_key IS 'surrogate key of the customer; NULL: no customer is named';

COMMENT ON COLUMN salespulse.fact_document.business_date IS 'day of the sale or return, local to the store';

COMMENT ON COLUMN salespulse.fact_document.business_hour IS 'hour of the day, 0 to 23, local to the store';

COMMENT ON COLUMN salespulse.fact_document.sale_count IS '1 for a sale, else 0';

COMMENT ON COLUMN salespulse.fact_document.return_count IS '1 for a return, else 0';

COMMENT ON COLUMN salespulse.fact_document.line_count IS 'sale lines';

COMMENT ON COLUMN salespulse.fact_document.return_line_count IS 'return lines';

COMMENT ON COLUMN salespulse.fact_document.units IS 'units sold, in the product''s own unit (pieces, kg)';

COMMENT ON COLUMN salespulse.fact_document.returned_units IS 'units returned, positive';

COMMENT ON COLUMN salespulse.fact_document.gross_amount IS 'money: quantity times price, before discount';

COMMENT ON COLUMN salespulse.fact_document.discount_amount IS 'money: discount, positive';

COMMENT ON COLUMN salespulse.fact_document.tax_amount IS 'money: tax, as the source states it; no part of net or margin';

COMMENT ON COLUMN salespulse.fact_document.cost_amount IS 'money: cost of goods sold less cost of goods returned';

COMMENT ON COLUMN salespulse.fact_document.refund_amount IS 'money: refunds, positive';

COMMENT ON COLUMN salespulse.fact_document.document_kind IS 'sale or return';

COMMENT ON COLUMN salespulse.fact_document.document_id IS 'the application''s key of the sale or return, as text';

ALTER TABLE salespulse.fact_document ALTER COLUMN document_key ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME salespulse.fact_document_document_key_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE salespulse.fact_document_line (
    document_key bigint NOT NULL,
    tenant_key integer NOT NULL,
    store_key integer NOT NULL,
    product_key integer NOT NULL,
    business_date date NOT NULL,
    line_count smallint NOT NULL,
    return_line_count smallint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL
);

COMMENT ON COLUMN salespulse.fact_document_line.document_key IS 'surrogate key of the document (fact_document)';

COMMENT ON COLUMN salespulse.fact_document_line.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.fact_document_line.store_key IS 'surrogate key of the store (dim_store)';

COMMENT ON COLUMN salespulse.fact_document_line.product_key IS 'surrogate key of the product (dim_product); 0: a line without a product';

COMMENT ON COLUMN salespulse.fact_document_line.business_date IS 'day of the sale or return, local to the store';

COMMENT ON COLUMN salespulse.fact_document_line.line_count IS '1 for a sale line, else 0';

COMMENT ON COLUMN salespulse.fact_document_line.return_line_count IS '1 for a return line, else 0';

COMMENT ON COLUMN salespulse.fact_document_line.units IS 'units sold, in the product''s own unit (pieces, kg)';

COMMENT ON COLUMN salespulse.fact_document_line.returned_units IS 'units returned, positive';

COMMENT ON COLUMN salespulse.fact_document_line.gross_amount IS 'money: quantity times price, before discount';

COMMENT ON COLUMN salespulse.fact_document_line.discount_amount IS 'money: discount, positive';

COMMENT ON COLUMN salespulse.fact_document_line.tax_amount IS 'money: tax, as the source states it; no part of net or margin';

COMMENT ON COLUMN salespulse.fact_document_line.cost_amount IS 'money: cost of goods sold less cost of goods returned';

COMMENT ON COLUMN salespulse.fact_document_line.refund_amount IS 'money: refunds, positive';

CREATE TABLE salespulse.fact_document_payment (
    document_key bigint NOT NULL,
    tenant_key integer NOT NULL,
    store_key integer NOT NULL,
    business_date date NOT NULL,
    payment_count smallint NOT NULL,
    refund_count smallint NOT NULL,
    payment_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    payment_method text NOT NULL COLLATE pg_catalog."C"
);

COMMENT ON COLUMN salespulse.fact_document_payment.document_key IS 'surrogate key of the document (fact_document)';

COMMENT ON COLUMN salespulse.fact_document_payment.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.fact_document_payment.store_key IS 'surrogate key of the store (dim_store)';

COMMENT ON COLUMN salespulse.fact_document_payment.business_date IS 'day of the sale or return, local to the store';

COMMENT ON COLUMN salespulse.fact_document_payment.payment_count IS '1 for a payment of a sale, else 0';

COMMENT ON COLUMN salespulse.fact_document_payment.refund_count IS '1 for a payment given back, else 0';

COMMENT ON COLUMN salespulse.fact_document_payment.payment_amount IS 'money taken for sales';

COMMENT ON COLUMN salespulse.fact_document_payment.refund_amount IS 'money given back for returns, positive';

COMMENT ON COLUMN salespulse.fact_document_payment.payment_method IS 'as the application names it';

CREATE TABLE salespulse.horizon_history (
    noted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    horizon xid8 NOT NULL
);

CREATE TABLE salespulse.hourly_store_sales (
    tenant_key integer NOT NULL,
    store_key integer NOT NULL,
    business_date date NOT NULL,
    business_hour smallint NOT NULL,
    sale_count bigint NOT NULL,
    return_count bigint NOT NULL,
    line_count bigint NOT NULL,
    return_line_count bigint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL,
    net_amount numeric GENERATED ALWAYS AS (((gross_amount - discount_amount) - refund_amount)) STORED NOT NULL,
    margin_amount numeric GENERATED ALWAYS AS ((((gross_amount - discount_amount) - refund_amount) - cost_amount)) STORED NOT NULL
)
WITH (fillfactor='85');

COMMENT ON COLUMN salespulse.hourly_store_sales.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.hourly_store_sales.store_key IS 'surrogate key of the store (dim_store)';

COMMENT ON COLUMN salespulse.hourly_store_sales.business_date IS 'day of the sale or return, local to the store';

COMMENT ON COLUMN salespulse.hourly_store_sales.business_hour IS 'hour of the day, 0 to 23, local to the store';

COMMENT ON COLUMN salespulse.hourly_store_sales.sale_count IS 'sales';

COMMENT ON COLUMN salespulse.hourly_store_sales.return_count IS 'returns';

COMMENT ON COLUMN salespulse.hourly_store_sales.line_count IS 'sale lines';

COMMENT ON COLUMN salespulse.hourly_store_sales.return_line_count IS 'return lines';

COMMENT ON COLUMN salespulse.hourly_store_sales.units IS 'units sold, in the product''s own unit (pieces, kg)';

COMMENT ON COLUMN salespulse.hourly_store_sales.returned_units IS 'units returned, positive';

COMMENT ON COLUMN salespulse.hourly_store_sales.gross_amount IS 'money: quantity times price, before discount';

COMMENT ON COLUMN salespulse.hourly_store_sales.discount_amount IS 'money: discount, positive';

COMMENT ON COLUMN salespulse.hourly_store_sales.tax_amount IS 'money: tax, as the source states it; no part of net or margin';

COMMENT ON COLUMN salespulse.hourly_store_sales.cost_amount IS 'money: cost of goods sold less cost of goods returned';

COMMENT ON COLUMN salespulse.hourly_store_sales.refund_amount IS 'money: refunds, positive';

COMMENT ON COLUMN salespulse.hourly_store_sales.net_amount IS 'money: gross less discount less refunds; computed by the database';

COMMENT ON COLUMN salespulse.hourly_store_sales.margin_amount IS 'money: net less cost; computed by the database';

CREATE TABLE salespulse.inbound_hook (
    hook_id integer NOT NULL,
    tenant_key integer NOT NULL,
    token_hash bytea NOT NULL,
    name text NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    params jsonb DEFAULT '{}'::jsonb NOT NULL,
    secret text NOT NULL,
    previous_secret text,
    previous_secret_until timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT inbound_hook_check CHECK (((previous_secret IS NULL) = (previous_secret_until IS NULL))),
    CONSTRAINT inbound_hook_params_check CHECK ((jsonb_typeof(params) = 'object'::text)),
    CONSTRAINT inbound_hook_previous_secret_check CHECK ((previous_secret ~~ 'whsec\_%'::text)),
    CONSTRAINT inbound_hook_secret_check CHECK ((secret ~~ 'whsec\_%'::text)),
    CONSTRAINT inbound_hook_token_hash_check CHECK ((length(token_hash) = 32))
);

ALTER TABLE salespulse.inbound_hook ALTER COLUMN hook_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME salespulse.inbound_hook_hook_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE salespulse.job_archive (
    job_id uuid NOT NULL,
    tenant_key integer,
    tenant_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    code text COLLATE pg_catalog."C",
    attempt integer NOT NULL,
    seq bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    record json NOT NULL
)
WITH (fillfactor='80');

CREATE TABLE salespulse.job_feed_position (
    reader text NOT NULL COLLATE pg_catalog."C",
    epoch text NOT NULL COLLATE pg_catalog."C",
    feed_id text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE salespulse.monthly_customer_sales (
    tenant_key integer NOT NULL,
    business_month date NOT NULL,
    customer_key integer NOT NULL,
    store_key integer NOT NULL,
    sale_count bigint NOT NULL,
    return_count bigint NOT NULL,
    line_count bigint NOT NULL,
    return_line_count bigint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL
)
WITH (fillfactor='85');

COMMENT ON COLUMN salespulse.monthly_customer_sales.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.monthly_customer_sales.business_month IS 'first day of the month, local to the store';

COMMENT ON COLUMN salespulse.monthly_customer_sales.customer_key IS 'surrogate key of the customer (dim_customer)';

COMMENT ON COLUMN salespulse.monthly_customer_sales.store_key IS 'surrogate key of the store (dim_store)';

COMMENT ON COLUMN salespulse.monthly_customer_sales.sale_count IS 'sales';

COMMENT ON COLUMN salespulse.monthly_customer_sales.return_count IS 'returns';

COMMENT ON COLUMN salespulse.monthly_customer_sales.line_count IS 'sale lines';

COMMENT ON COLUMN salespulse.monthly_customer_sales.return_line_count IS 'return lines';

COMMENT ON COLUMN salespulse.monthly_customer_sales.units IS 'units sold, in the product''s own unit (pieces, kg)';

COMMENT ON COLUMN salespulse.monthly_customer_sales.returned_units IS 'units returned, positive';

COMMENT ON COLUMN salespulse.monthly_customer_sales.gross_amount IS 'money: quantity times price, before discount';

COMMENT ON COLUMN salespulse.monthly_customer_sales.discount_amount IS 'money: discount, positive';

COMMENT ON COLUMN salespulse.monthly_customer_sales.tax_amount IS 'money: tax, as the source states it; no part of net or margin';

COMMENT ON COLUMN salespulse.monthly_customer_sales.cost_amount IS 'money: cost of goods sold less cost of goods returned';

COMMENT ON COLUMN salespulse.monthly_customer_sales.refund_amount IS 'money: refunds, positive';

CREATE TABLE salespulse.monthly_product_sales (
    tenant_key integer NOT NULL,
    business_month date NOT NULL,
    product_key integer NOT NULL,
    store_key integer NOT NULL,
    line_count bigint NOT NULL,
    return_line_count bigint NOT NULL,
    units numeric NOT NULL,
    returned_units numeric NOT NULL,
    gross_amount numeric NOT NULL,
    discount_amount numeric NOT NULL,
    tax_amount numeric NOT NULL,
    cost_amount numeric NOT NULL,
    refund_amount numeric NOT NULL
)
WITH (fillfactor='85');

COMMENT ON COLUMN salespulse.monthly_product_sales.tenant_key IS 'surrogate key of the tenant (dim_tenant)';

COMMENT ON COLUMN salespulse.monthly_product_sales.business_month IS 'first day of the month, local to the store';

COMMENT ON COLUMN salespulse.monthly_product_sales.product_key IS 'surrogate key of the product (dim_product); 0: a line without a product';

COMMENT ON COLUMN salespulse.monthly_product_sales.store_key IS 'surrogate key of the store (dim_store)';

COMMENT ON COLUMN salespulse.monthly_product_sales.line_count IS 'sale lines';

COMMENT ON COLUMN salespulse.monthly_product_sales.return_line_count IS 'return lines';

COMMENT ON COLUMN salespulse.monthly_product_sales.units IS 'units sold, in the product''s own unit (pieces, kg)';

COMMENT ON COLUMN salespulse.monthly_product_sales.returned_units IS 'units returned, positive';

COMMENT ON COLUMN salespulse.monthly_product_sales.gross_amount IS 'money: quantity times price, before discount';

COMMENT ON COLUMN salespulse.monthly_product_sales.discount_amount IS 'money: discount, positive';

COMMENT ON COLUMN salespulse.monthly_product_sales.tax_amount IS 'money: tax, as the source states it; no part of net or margin';

COMMENT ON COLUMN salespulse.monthly_product_sales.cost_amount IS 'money: cost of goods sold less cost of goods returned';

COMMENT ON COLUMN salespulse.monthly_product_sales.refund_amount IS 'money: refunds, positive';

CREATE TABLE salespulse.pending_document (
    pending_id bigint NOT NULL,
    document_kind text NOT NULL COLLATE pg_catalog."C",
    document_id text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL COLLATE pg_catalog."C",
    enqueued_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.0', autovacuum_vacuum_threshold='50000');

ALTER TABLE salespulse.pending_document ALTER COLUMN pending_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME salespulse.pending_document_pending_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE salespulse.quarantined_document (
    document_kind text NOT NULL COLLATE pg_catalog."C",
    document_id text NOT NULL COLLATE pg_catalog."C",
    tenant_id text COLLATE pg_catalog."C",
    store_id text COLLATE pg_catalog."C",
    reason text NOT NULL COLLATE pg_catalog."C",
    detail text NOT NULL,
    quarantined_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE salespulse.refresh_log (
    refresh_id bigint NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    as_of timestamp with time zone NOT NULL,
    horizon xid8 NOT NULL,
    changed_documents bigint NOT NULL,
    changed_dimension_rows bigint NOT NULL,
    rows_written bigint NOT NULL
);

ALTER TABLE salespulse.refresh_log ALTER COLUMN refresh_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME salespulse.refresh_log_refresh_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE salespulse.refresh_state (
    refresh_state_id boolean DEFAULT true NOT NULL,
    horizon xid8 NOT NULL,
    applied_lsn pg_lsn NOT NULL,
    timeline integer NOT NULL,
    system_identifier text NOT NULL,
    anchor_xids xid8[] DEFAULT '{}'::xid8[] NOT NULL,
    anchor_change_ids bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    as_of timestamp with time zone NOT NULL,
    refreshed_at timestamp with time zone NOT NULL,
    pruned_at timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    CONSTRAINT refresh_state_refresh_state_id_check CHECK (refresh_state_id)
)
WITH (fillfactor='20');

CREATE TABLE salespulse.seen_transaction (
    xid xid8 NOT NULL
);

CREATE TABLE salespulse.tenant_version (
    tenant_key integer NOT NULL,
    changed_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE salespulse.webhook_delivery (
    delivery_id uuid DEFAULT gen_random_uuid() NOT NULL,
    endpoint_id integer NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    body text NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL COLLATE pg_catalog."C",
    attempts integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT now() NOT NULL,
    lease_id uuid,
    ended_at timestamp with time zone,
    last_attempt_at timestamp with time zone,
    last_seconds real,
    last_status integer,
    last_error text,
    last_response text,
    CONSTRAINT webhook_delivery_check CHECK (((state = 'pending'::text) = (ended_at IS NULL))),
    CONSTRAINT webhook_delivery_check1 CHECK (((state = 'pending'::text) OR (lease_id IS NULL))),
    CONSTRAINT webhook_delivery_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'delivered'::text, 'failed'::text])))
);

CREATE TABLE salespulse.webhook_endpoint (
    endpoint_id integer NOT NULL,
    tenant_key integer NOT NULL,
    url text NOT NULL,
    event_types text[],
    secret text NOT NULL,
    previous_secret text,
    previous_secret_until timestamp with time zone,
    is_enabled boolean DEFAULT true NOT NULL,
    disabled_reason text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT webhook_endpoint_check CHECK (((previous_secret IS NULL) = (previous_secret_until IS NULL))),
    CONSTRAINT webhook_endpoint_check1 CHECK ((is_enabled = (disabled_reason IS NULL))),
    CONSTRAINT webhook_endpoint_previous_secret_check CHECK ((previous_secret ~~ 'whsec\_%'::text)),
    CONSTRAINT webhook_endpoint_secret_check CHECK ((secret ~~ 'whsec\_%'::text))
);

ALTER TABLE salespulse.webhook_endpoint ALTER COLUMN endpoint_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME salespulse.webhook_endpoint_endpoint_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE salespulse_source.change_log (
    change_id bigint NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    logged_at timestamp with time zone DEFAULT now() NOT NULL,
    entity text NOT NULL COLLATE pg_catalog."C",
    key text COLLATE pg_catalog."C",
    tenant_id text COLLATE pg_catalog."C"
)
WITH (autovacuum_vacuum_scale_factor='0.0', autovacuum_vacuum_threshold='20000', autovacuum_vacuum_insert_scale_factor='0.0', autovacuum_vacuum_insert_threshold='100000');

ALTER TABLE salespulse_source.change_log ALTER COLUMN change_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME salespulse_source.change_log_change_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE salespulse_source.change_log_pruning (
    change_log_pruning_id boolean DEFAULT true NOT NULL,
    pruned_through xid8 DEFAULT '0'::xid8 NOT NULL,
    system_identifier text DEFAULT ''::text NOT NULL,
    CONSTRAINT change_log_pruning_change_log_pruning_id_check CHECK (change_log_pruning_id)
);

CREATE TABLE salespulse_source.heartbeat (
    heartbeat_id boolean DEFAULT true NOT NULL,
    beat_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    timeline integer,
    CONSTRAINT heartbeat_heartbeat_id_check CHECK (heartbeat_id)
)
WITH (fillfactor='20');

CREATE TABLE salespulse_source.installed_capture (
    source_name text NOT NULL,
    table_name text NOT NULL,
    function_name text NOT NULL,
    installed_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY salespulse.api_key
    ADD CONSTRAINT api_key_key_hash_key UNIQUE (key_hash);

ALTER TABLE ONLY salespulse.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (api_key_id);

ALTER TABLE ONLY salespulse.continuity_event
    ADD CONSTRAINT continuity_event_pkey PRIMARY KEY (continuity_event_id);

ALTER TABLE ONLY salespulse.daily_customer_sales
    ADD CONSTRAINT daily_customer_sales_pkey PRIMARY KEY (tenant_key, business_date, customer_key, store_key);

ALTER TABLE ONLY salespulse.daily_payment_sales
    ADD CONSTRAINT daily_payment_sales_pkey PRIMARY KEY (tenant_key, store_key, business_date, payment_method);

ALTER TABLE ONLY salespulse.daily_product_sales
    ADD CONSTRAINT daily_product_sales_pkey PRIMARY KEY (tenant_key, business_date, product_key, store_key);

ALTER TABLE ONLY salespulse.daily_store_sales
    ADD CONSTRAINT daily_store_sales_pkey PRIMARY KEY (tenant_key, store_key, business_date);

ALTER TABLE ONLY salespulse.dim_customer
    ADD CONSTRAINT dim_customer_pkey PRIMARY KEY (customer_key);

ALTER TABLE ONLY salespulse.dim_customer
    ADD CONSTRAINT dim_customer_tenant_key_customer_id_key UNIQUE (tenant_key, customer_id);

ALTER TABLE ONLY salespulse.dim_product
    ADD CONSTRAINT dim_product_pkey PRIMARY KEY (product_key);

ALTER TABLE ONLY salespulse.dim_product
    ADD CONSTRAINT dim_product_tenant_key_product_id_key UNIQUE (tenant_key, product_id);

ALTER TABLE ONLY salespulse.dim_store
    ADD CONSTRAINT dim_store_pkey PRIMARY KEY (store_key);

ALTER TABLE ONLY salespulse.dim_store
    ADD CONSTRAINT dim_store_tenant_key_store_id_key UNIQUE (tenant_key, store_id);

ALTER TABLE ONLY salespulse.dim_tenant
    ADD CONSTRAINT dim_tenant_pkey PRIMARY KEY (tenant_key);

ALTER TABLE ONLY salespulse.dim_tenant
    ADD CONSTRAINT dim_tenant_tenant_id_key UNIQUE (tenant_id);

ALTER TABLE ONLY salespulse.fact_document
    ADD CONSTRAINT fact_document_document_id_document_kind_key UNIQUE (document_id, document_kind);

ALTER TABLE ONLY salespulse.fact_document
    ADD CONSTRAINT fact_document_pkey PRIMARY KEY (document_key);

ALTER TABLE ONLY salespulse.horizon_history
    ADD CONSTRAINT horizon_history_pkey PRIMARY KEY (noted_at);

ALTER TABLE ONLY salespulse.hourly_store_sales
    ADD CONSTRAINT hourly_store_sales_pkey PRIMARY KEY (tenant_key, store_key, business_date, business_hour);

ALTER TABLE ONLY salespulse.inbound_hook
    ADD CONSTRAINT inbound_hook_pkey PRIMARY KEY (hook_id);

ALTER TABLE ONLY salespulse.inbound_hook
    ADD CONSTRAINT inbound_hook_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY salespulse.job_archive
    ADD CONSTRAINT job_archive_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY salespulse.job_feed_position
    ADD CONSTRAINT job_feed_position_pkey PRIMARY KEY (reader);

ALTER TABLE ONLY salespulse.monthly_customer_sales
    ADD CONSTRAINT monthly_customer_sales_pkey PRIMARY KEY (tenant_key, business_month, customer_key, store_key);

ALTER TABLE ONLY salespulse.monthly_product_sales
    ADD CONSTRAINT monthly_product_sales_pkey PRIMARY KEY (tenant_key, business_month, product_key, store_key);

ALTER TABLE ONLY salespulse.pending_document
    ADD CONSTRAINT pending_document_document_id_document_kind_key UNIQUE (document_id, document_kind);

ALTER TABLE ONLY salespulse.pending_document
    ADD CONSTRAINT pending_document_pkey PRIMARY KEY (pending_id);

ALTER TABLE ONLY salespulse.quarantined_document
    ADD CONSTRAINT quarantined_document_pkey PRIMARY KEY (document_id, document_kind);

ALTER TABLE ONLY salespulse.refresh_log
    ADD CONSTRAINT refresh_log_pkey PRIMARY KEY (refresh_id);

ALTER TABLE ONLY salespulse.refresh_state
    ADD CONSTRAINT refresh_state_pkey PRIMARY KEY (refresh_state_id);

ALTER TABLE ONLY salespulse.seen_transaction
    ADD CONSTRAINT seen_transaction_pkey PRIMARY KEY (xid);

ALTER TABLE ONLY salespulse.tenant_version
    ADD CONSTRAINT tenant_version_pkey PRIMARY KEY (tenant_key);

ALTER TABLE ONLY salespulse.webhook_delivery
    ADD CONSTRAINT webhook_delivery_endpoint_id_job_id_event_type_key UNIQUE (endpoint_id, job_id, event_type);

ALTER TABLE ONLY salespulse.webhook_delivery
    ADD CONSTRAINT webhook_delivery_pkey PRIMARY KEY (delivery_id);

ALTER TABLE ONLY salespulse.webhook_endpoint
    ADD CONSTRAINT webhook_endpoint_pkey PRIMARY KEY (endpoint_id);

ALTER TABLE ONLY salespulse_source.change_log
    ADD CONSTRAINT change_log_pkey PRIMARY KEY (xid, change_id);

ALTER TABLE ONLY salespulse_source.change_log_pruning
    ADD CONSTRAINT change_log_pruning_pkey PRIMARY KEY (change_log_pruning_id);

ALTER TABLE ONLY salespulse_source.heartbeat
    ADD CONSTRAINT heartbeat_pkey PRIMARY KEY (heartbeat_id);

ALTER TABLE ONLY salespulse_source.installed_capture
    ADD CONSTRAINT installed_capture_pkey PRIMARY KEY (source_name, table_name);

CREATE INDEX api_key_tenant_key_idx ON salespulse.api_key USING btree (tenant_key);

CREATE INDEX daily_customer_sales_business_date_idx ON salespulse.daily_customer_sales USING brin (business_date) WITH (pages_per_range='16');

CREATE INDEX daily_payment_sales_business_date_idx ON salespulse.daily_payment_sales USING brin (business_date) WITH (pages_per_range='16');

CREATE INDEX daily_product_sales_business_date_idx ON salespulse.daily_product_sales USING brin (business_date) WITH (pages_per_range='16');

CREATE INDEX daily_store_sales_business_date_idx ON salespulse.daily_store_sales USING brin (business_date) WITH (pages_per_range='16');

CREATE INDEX dim_customer_customer_id_idx ON salespulse.dim_customer USING btree (customer_id);

CREATE INDEX dim_product_product_id_idx ON salespulse.dim_product USING btree (product_id);

CREATE INDEX dim_store_store_id_idx ON salespulse.dim_store USING btree (store_id);

CREATE INDEX fact_document_business_date_idx ON salespulse.fact_document USING btree (business_date);

CREATE INDEX fact_document_line_business_date_idx ON salespulse.fact_document_line USING brin (business_date) WITH (pages_per_range='16');

CREATE INDEX fact_document_line_document_key_idx ON salespulse.fact_document_line USING btree (document_key);

CREATE INDEX fact_document_payment_business_date_idx ON salespulse.fact_document_payment USING brin (business_date) WITH (pages_per_range='16');

CREATE INDEX fact_document_payment_document_key_idx ON salespulse.fact_document_payment USING btree (document_key);

CREATE INDEX fact_document_store_key_idx ON salespulse.fact_document USING btree (store_key);

CREATE INDEX hourly_store_sales_business_date_idx ON salespulse.hourly_store_sales USING brin (business_date) WITH (pages_per_range='16');

CREATE INDEX inbound_hook_tenant_key_idx ON salespulse.inbound_hook USING btree (tenant_key);

CREATE INDEX job_archive_ended_at_idx ON salespulse.job_archive USING btree (ended_at);

CREATE INDEX job_archive_tenant_key_idx ON salespulse.job_archive USING btree (tenant_key, created_at);

CREATE INDEX monthly_customer_sales_business_month_idx ON salespulse.monthly_customer_sales USING brin (business_month) WITH (pages_per_range='16');

CREATE INDEX monthly_product_sales_business_month_idx ON salespulse.monthly_product_sales USING brin (business_month) WITH (pages_per_range='16');

CREATE INDEX quarantined_document_store_id_idx ON salespulse.quarantined_document USING btree (store_id);

CREATE INDEX refresh_log_finished_at_idx ON salespulse.refresh_log USING btree (finished_at);

CREATE INDEX webhook_delivery_due_idx ON salespulse.webhook_delivery USING btree (endpoint_id, next_attempt_at) WHERE (state = 'pending'::text);

CREATE INDEX webhook_delivery_ended_at_idx ON salespulse.webhook_delivery USING btree (ended_at) WHERE (state <> 'pending'::text);

CREATE INDEX webhook_delivery_leased_idx ON salespulse.webhook_delivery USING btree (endpoint_id) WHERE (lease_id IS NOT NULL);

CREATE INDEX webhook_endpoint_tenant_key_idx ON salespulse.webhook_endpoint USING btree (tenant_key);

CREATE TRIGGER mark_deleted AFTER DELETE ON salespulse.fact_document REFERENCING OLD TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();

CREATE TRIGGER mark_inserted AFTER INSERT ON salespulse.fact_document REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();

CREATE TRIGGER mark_left AFTER UPDATE ON salespulse.fact_document REFERENCING OLD TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();

CREATE TRIGGER mark_updated AFTER UPDATE ON salespulse.dim_customer REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();

CREATE TRIGGER mark_updated AFTER UPDATE ON salespulse.dim_product REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();

CREATE TRIGGER mark_updated AFTER UPDATE ON salespulse.dim_store REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();

CREATE TRIGGER mark_updated AFTER UPDATE ON salespulse.dim_tenant REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();

CREATE TRIGGER mark_updated AFTER UPDATE ON salespulse.fact_document REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION salespulse.mark_tenants_changed();

ALTER TABLE ONLY salespulse.api_key
    ADD CONSTRAINT api_key_tenant_key_fkey FOREIGN KEY (tenant_key) REFERENCES salespulse.dim_tenant(tenant_key);

ALTER TABLE ONLY salespulse.dim_customer
    ADD CONSTRAINT dim_customer_tenant_key_fkey FOREIGN KEY (tenant_key) REFERENCES salespulse.dim_tenant(tenant_key);

ALTER TABLE ONLY salespulse.dim_product
    ADD CONSTRAINT dim_product_tenant_key_fkey FOREIGN KEY (tenant_key) REFERENCES salespulse.dim_tenant(tenant_key);

ALTER TABLE ONLY salespulse.dim_store
    ADD CONSTRAINT dim_store_tenant_key_fkey FOREIGN KEY (tenant_key) REFERENCES salespulse.dim_tenant(tenant_key);

ALTER TABLE ONLY salespulse.inbound_hook
    ADD CONSTRAINT inbound_hook_tenant_key_fkey FOREIGN KEY (tenant_key) REFERENCES salespulse.dim_tenant(tenant_key);

ALTER TABLE ONLY salespulse.webhook_delivery
    ADD CONSTRAINT webhook_delivery_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES salespulse.webhook_endpoint(endpoint_id) ON DELETE CASCADE;

ALTER TABLE ONLY salespulse.webhook_endpoint
    ADD CONSTRAINT webhook_endpoint_tenant_key_fkey FOREIGN KEY (tenant_key) REFERENCES salespulse.dim_tenant(tenant_key);

ALTER TABLE salespulse.api_key ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.daily_customer_sales ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.daily_payment_sales ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.daily_product_sales ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.daily_store_sales ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.dim_customer ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.dim_product ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.dim_store ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.dim_tenant ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.hourly_store_sales ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.inbound_hook ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.job_archive ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.monthly_customer_sales ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.monthly_product_sales ENABLE ROW LEVEL SECURITY;

CREATE POLICY pipeline_all ON salespulse.api_key TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.daily_customer_sales TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.daily_payment_sales TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.daily_product_sales TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.daily_store_sales TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.dim_customer TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.dim_product TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.dim_store TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.dim_tenant TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.hourly_store_sales TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.inbound_hook TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.job_archive TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.monthly_customer_sales TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.monthly_product_sales TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.tenant_version TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.webhook_delivery TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY pipeline_all ON salespulse.webhook_endpoint TO salespulse_pipeline USING (true) WITH CHECK (true);

CREATE POLICY tenant_only ON salespulse.daily_customer_sales FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

CREATE POLICY tenant_only ON salespulse.daily_payment_sales FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

CREATE POLICY tenant_only ON salespulse.daily_product_sales FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

CREATE POLICY tenant_only ON salespulse.daily_store_sales FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

CREATE POLICY tenant_only ON salespulse.dim_customer FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

CREATE POLICY tenant_only ON salespulse.dim_product FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

CREATE POLICY tenant_only ON salespulse.dim_store FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

CREATE POLICY tenant_only ON salespulse.dim_tenant FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

CREATE POLICY tenant_only ON salespulse.hourly_store_sales FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

CREATE POLICY tenant_only ON salespulse.job_archive FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

CREATE POLICY tenant_only ON salespulse.monthly_customer_sales FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

CREATE POLICY tenant_only ON salespulse.monthly_product_sales FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

CREATE POLICY tenant_only ON salespulse.tenant_version FOR SELECT TO salespulse_dashboard USING ((tenant_key = ( SELECT salespulse.current_tenant_key() AS current_tenant_key)));

ALTER TABLE salespulse.tenant_version ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.webhook_delivery ENABLE ROW LEVEL SECURITY;

ALTER TABLE salespulse.webhook_endpoint ENABLE ROW LEVEL SECURITY;

GRANT USAGE ON SCHEMA salespulse TO salespulse_pipeline;
GRANT USAGE ON SCHEMA salespulse TO salespulse_dashboard;
GRANT USAGE ON SCHEMA salespulse TO salespulse_reader;

GRANT USAGE ON SCHEMA salespulse_source TO salespulse_reader;
GRANT USAGE ON SCHEMA salespulse_source TO salespulse_pipeline;
GRANT USAGE ON SCHEMA salespulse_source TO salespulse_dashboard;

REVOKE ALL ON FUNCTION salespulse.api_key_identity(wanted_hash bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION salespulse.api_key_identity(wanted_hash bytea) TO salespulse_dashboard;

REVOKE ALL ON FUNCTION salespulse.inbound_hook_of(wanted_hash bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION salespulse.inbound_hook_of(wanted_hash bytea) TO salespulse_dashboard;

REVOKE ALL ON FUNCTION salespulse.mark_tenants_changed() FROM PUBLIC;

REVOKE ALL ON FUNCTION salespulse.tenant_key_of(wanted text) FROM PUBLIC;
GRANT ALL ON FUNCTION salespulse.tenant_key_of(wanted text) TO salespulse_dashboard;

REVOKE ALL ON FUNCTION salespulse.tenants_changed_since(since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION salespulse.tenants_changed_since(since timestamp with time zone) TO salespulse_dashboard;

REVOKE ALL ON FUNCTION salespulse_source.receiver_timeline() FROM PUBLIC;
GRANT ALL ON FUNCTION salespulse_source.receiver_timeline() TO salespulse_reader;
GRANT ALL ON FUNCTION salespulse_source.receiver_timeline() TO salespulse_pipeline;

GRANT SELECT,INSERT,UPDATE ON TABLE salespulse.api_key TO salespulse_pipeline;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.continuity_event TO salespulse_pipeline;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.daily_customer_sales TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.daily_customer_sales TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.daily_payment_sales TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.daily_payment_sales TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.daily_product_sales TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.daily_product_sales TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.daily_store_sales TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.daily_store_sales TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.dim_customer TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.dim_customer TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.dim_product TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.dim_product TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.dim_store TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.dim_store TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.dim_tenant TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.dim_tenant TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.fact_document TO salespulse_pipeline;

GRANT USAGE ON SEQUENCE salespulse.fact_document_document_key_seq TO salespulse_pipeline;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.fact_document_line TO salespulse_pipeline;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.fact_document_payment TO salespulse_pipeline;

GRANT SELECT,INSERT,DELETE ON TABLE salespulse.horizon_history TO salespulse_pipeline;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.hourly_store_sales TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.hourly_store_sales TO salespulse_dashboard;

GRANT SELECT,INSERT,UPDATE ON TABLE salespulse.inbound_hook TO salespulse_pipeline;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.job_archive TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.job_archive TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.job_feed_position TO salespulse_pipeline;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.monthly_customer_sales TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.monthly_customer_sales TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.monthly_product_sales TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.monthly_product_sales TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.pending_document TO salespulse_pipeline;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.quarantined_document TO salespulse_pipeline;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.refresh_log TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.refresh_log TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.refresh_state TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.refresh_state TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.seen_transaction TO salespulse_pipeline;

GRANT SELECT,INSERT,UPDATE ON TABLE salespulse.tenant_version TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse.tenant_version TO salespulse_dashboard;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.webhook_delivery TO salespulse_pipeline;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE salespulse.webhook_endpoint TO salespulse_pipeline;

GRANT SELECT ON TABLE salespulse_source.change_log TO salespulse_reader;
GRANT SELECT,DELETE ON TABLE salespulse_source.change_log TO salespulse_pipeline;

GRANT SELECT ON TABLE salespulse_source.change_log_pruning TO salespulse_reader;
GRANT SELECT,UPDATE ON TABLE salespulse_source.change_log_pruning TO salespulse_pipeline;

GRANT SELECT ON TABLE salespulse_source.heartbeat TO salespulse_reader;
GRANT SELECT,UPDATE ON TABLE salespulse_source.heartbeat TO salespulse_pipeline;
GRANT SELECT ON TABLE salespulse_source.heartbeat TO salespulse_dashboard;

GRANT SELECT ON TABLE salespulse_source.installed_capture TO salespulse_reader;
GRANT SELECT ON TABLE salespulse_source.installed_capture TO salespulse_pipeline;
