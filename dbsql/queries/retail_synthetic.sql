-- Synthetic tenants, made by the server: every value follows from the seed and a running number, through
-- `hashint8extended` (64 bits, sliced) and `md5` (ids). The same seed gives the same rows on any server of one version.
-- Products follow Zipf's law with exponent 1: the rank is floor(P^u) of a uniform u, whose probability is about
-- 1 / (r ln P) (inverse transform; Devroye, Non-Uniform Random Variate Generation, 1986, chapter II.2).

-- name: tenant_exists
-- Whether the first tenant of this seed is there already.
SELECT count(*) > 0 AS tenant_exists
FROM retail.tenants
WHERE id = md5(%(seed)s::bigint || '/tenant/0')::uuid::text;

-- name: may_skip_triggers
-- Whether this role may set session_replication_role.
SELECT has_parameter_privilege('session_replication_role', 'SET') AS may_skip_triggers;

-- name: skip_triggers
-- For this transaction: no foreign-key checks, no triggers.
SELECT set_config('session_replication_role', 'replica', TRUE);

-- name: more_memory
-- For this transaction: the intermediate rows of a batch stay in memory.
SELECT set_config('work_mem', '96MB', TRUE);

-- name: hash_joins
-- For this transaction: the planner knows nothing of the made-up rows, and would loop over tens of thousands.
SELECT set_config('enable_nestloop', 'off', TRUE);

-- name: insert_tenants
-- Tenants, in six time zones.
INSERT INTO retail.tenants (id, name, timezone, currency)
SELECT
    md5(%(seed)s::bigint || '/tenant/' || t)::uuid::text AS id,
    'Synthetic ' || %(seed)s::bigint || '-' || (t + 1) AS name,
    (ARRAY[
        'Europe/London', 'America/New_York', 'Asia/Kolkata', 'Australia/Sydney', 'America/Los_Angeles', 'UTC'
    ])[1 + mod(t, 6)] AS timezone,
    'GBP' AS currency
FROM generate_series(0, %(tenants)s::bigint - 1) AS t;

-- name: insert_stores
-- Stores; every third has the tenant's time zone, the others one of their own.
INSERT INTO retail.stores (id, tenant_id, name, timezone)
SELECT
    md5(%(seed)s::bigint || '/store/' || t || '/' || s)::uuid::text AS id,
    md5(%(seed)s::bigint || '/tenant/' || t)::uuid::text AS tenant_id,
    'Store ' || (s + 1) AS name,
    CASE
        WHEN mod(s, 3) > 0
            THEN (ARRAY['Europe/Berlin', 'Asia/Tokyo', 'America/Sao_Paulo', 'Pacific/Auckland'])[1 + mod(t + s, 4)]
    END AS timezone
FROM generate_series(0, %(tenants)s::bigint - 1) AS t
CROSS JOIN generate_series(0, %(stores)s::bigint - 1) AS s;

-- name: insert_product_groups
-- Eight groups a tenant.
INSERT INTO retail.product_groups (id, tenant_id, name)
SELECT
    md5(%(seed)s::bigint || '/group/' || t || '/' || g)::uuid::text AS id,
    md5(%(seed)s::bigint || '/tenant/' || t)::uuid::text AS tenant_id,
    'Group ' || (g + 1) AS name
FROM generate_series(0, %(tenants)s::bigint - 1) AS t
CROSS JOIN generate_series(0, 7) AS g;

-- name: insert_products
-- Products; one in fifty stands in no group.
INSERT INTO retail.products (id, tenant_id, product_group_id, sku, name)
SELECT
    md5(%(seed)s::bigint || '/product/' || t || '/' || p)::uuid::text AS id,
    md5(%(seed)s::bigint || '/tenant/' || t)::uuid::text AS tenant_id,
    CASE
        WHEN mod(p, 50) < 49 THEN md5(%(seed)s::bigint || '/group/' || t || '/' || mod(p, 8))::uuid::text
    END AS product_group_id,
    'SKU-' || lpad((p + 1)::text, 5, '0') AS sku,
    'Product ' || (p + 1) AS name
FROM generate_series(0, %(tenants)s::bigint - 1) AS t
CROSS JOIN generate_series(0, %(products)s::bigint - 1) AS p;

-- name: insert_customers
-- Customers.
INSERT INTO retail.customers (id, tenant_id, name)
SELECT
    md5(%(seed)s::bigint || '/customer/' || t || '/' || c)::uuid::text AS id,
    md5(%(seed)s::bigint || '/tenant/' || t)::uuid::text AS tenant_id,
    'Customer ' || (c + 1) AS name
FROM generate_series(0, %(tenants)s::bigint - 1) AS t
CROSS JOIN generate_series(0, %(customers)s::bigint - 1) AS c;

-- name: insert_sales
-- The sales numbered first_sale to last_sale with their lines, payments and returns; gives how many of each.
-- One statement, so that foreign keys are checked and capture triggers fire once a batch. Tenants get sales in the
-- proportion of u squared (a few large ones), of 200 sales about 7 do not count (voided, parked, draft, deleted).
WITH place AS MATERIALIZED (
    SELECT
        t,
        s,
        tenants.id AS tenant_id,
        stores.id AS store_id,
        coalesce(stores.timezone, tenants.timezone) AS timezone
    FROM generate_series(0, %(tenants)s::bigint - 1) AS t
    CROSS JOIN generate_series(0, %(stores)s::bigint - 1) AS s
    INNER JOIN retail.tenants AS tenants ON tenants.id = md5(%(seed)s::bigint || '/tenant/' || t)::uuid::text
    INNER JOIN retail.stores AS stores ON stores.id = md5(%(seed)s::bigint || '/store/' || t || '/' || s)::uuid::text
),

sample AS (
    SELECT
        n,
        floor(%(tenants)s::bigint * ((h & 1048575) / 1048576.0::float8) ^ 2)::bigint AS t,
        mod((h >> 20) & 1023, %(stores)s::bigint) AS s,
        mod((h >> 30) & 1048575, %(days)s::bigint)::integer AS days_ago,
        1 + ((h >> 50) & 7) * ((h >> 53) & 7) / 6 AS line_count,
        mod((h >> 56) & 127, 100) AS customer_draw,
        hashint8extended(n * 4 + 1, %(seed)s::bigint) AS g
    FROM (
        SELECT
            n,
            hashint8extended(n * 4, %(seed)s::bigint) AS h
        FROM generate_series(%(first_sale)s::bigint, %(last_sale)s::bigint) AS n
    ) AS hashed
),

sale AS MATERIALIZED (
    SELECT
        sample.n,
        sample.t,
        sample.s,
        sample.line_count,
        sample.g,
        place.tenant_id,
        place.store_id,
        md5(%(seed)s::bigint || '/sale/' || sample.n)::uuid::text AS sale_id,
        CASE
            WHEN sample.customer_draw < 60
                THEN
                    md5(
                        %(seed)s::bigint || '/customer/' || sample.t || '/'
                        || mod(sample.g & 1048575, %(customers)s::bigint)
                    )::uuid::text
        END AS customer_id,
        (ARRAY['voided', 'voided', 'voided', 'parked', 'parked', 'draft'])[1 + mod((sample.g >> 20) & 1023, 200)]
            AS other_status,
        (%(last_day)s::date - sample.days_ago + make_interval(secs => 25200 + mod((sample.g >> 30) & 1048575, 57600)))
        AT TIME ZONE place.timezone AS sold_at,
        mod((sample.g >> 50) & 1023, 1000) AS fate
    FROM sample
    INNER JOIN place ON sample.t = place.t AND sample.s = place.s
),

line AS MATERIALIZED (
    SELECT
        priced.n,
        priced.sale_id,
        priced.line_number,
        priced.item_id,
        priced.product_id,
        priced.quantity,
        priced.unit_price,
        priced.unit_cost,
        CASE
            WHEN (priced.h & 15) < 2 THEN round(priced.quantity * priced.unit_price * 0.1, 2) ELSE 0.00
        END AS discount_amount
    FROM (
        SELECT
            picked.n,
            picked.sale_id,
            picked.line_number,
            picked.h,
            (100 + mod(picked.product_hash & 65535, 4900)) * 0.01 AS unit_price,
            CASE
                WHEN mod(picked.p, 20) < 19 THEN (30 + mod(picked.product_hash & 65535, 2450)) * 0.01
            END AS unit_cost,
            md5(%(seed)s::bigint || '/line/' || picked.n || '/' || picked.line_number)::uuid::text AS item_id,
            CASE
                WHEN mod((picked.h >> 4) & 1023, 200) > 0
                    THEN md5(%(seed)s::bigint || '/product/' || picked.t || '/' || picked.p)::uuid::text
            END AS product_id,
            CASE
                WHEN mod((picked.h >> 14) & 1023, 40) = 0 THEN (50 + ((picked.h >> 24) & 4095)) * 0.001
                ELSE 1 + ((picked.h >> 24) & 3)
            END AS quantity
        FROM (
            SELECT
                ranked.*,
                hashint8extended(ranked.t * 1000003 + ranked.p, %(seed)s::bigint) AS product_hash
            FROM (
                SELECT
                    hashed.*,
                    least(
                        floor((%(products)s::bigint + 1) ^ (((hashed.h >> 40) & 1048575) / 1048576.0::float8))::bigint,
                        %(products)s::bigint
                    ) - 1 AS p
                FROM (
                    SELECT
                        sale.n,
                        sale.t,
                        sale.sale_id,
                        line_number,
                        hashint8extended((sale.n * 4 + 2) * 16 + line_number, %(seed)s::bigint) AS h
                    FROM sale
                    CROSS JOIN LATERAL generate_series(1, sale.line_count) AS line_number
                ) AS hashed
            ) AS ranked
        ) AS picked
    ) AS priced
),

new_sale AS (
    INSERT INTO retail.sales
    (id, tenant_id, store_id, customer_id, receipt_number, status, sold_at, deleted_at)
    SELECT
        sale_id,
        tenant_id,
        store_id,
        customer_id,
        'R' || lpad(n::text, 9, '0') AS receipt_number,
        coalesce(other_status, 'completed') AS status,
        sold_at,
        CASE WHEN fate >= 995 THEN sold_at + make_interval(hours => 1) END AS deleted_at
    FROM sale
    RETURNING 1
),

new_item AS (
    INSERT INTO retail.sale_items
    (id, sale_id, product_id, quantity, unit_price, discount_amount, tax_amount, unit_cost)
    SELECT
        item_id,
        sale_id,
        product_id,
        quantity,
        unit_price,
        discount_amount,
        round((quantity * unit_price - discount_amount) * 0.2, 2) AS tax_amount,
        unit_cost
    FROM line
    RETURNING 1
),

returned AS MATERIALIZED (
    SELECT
        sale.*,
        line.item_id,
        line.product_id,
        line.unit_cost,
        md5(%(seed)s::bigint || '/return/' || sale.n)::uuid::text AS return_id,
        md5(%(seed)s::bigint || '/store/' || sale.t || '/' || mod(sale.s + (fate & 1), %(stores)s::bigint))::uuid::text
            AS returned_to_id,
        CASE WHEN line.quantity > 1 THEN line.quantity * 0.5 ELSE line.quantity END AS returned_quantity,
        round(
            (line.quantity * line.unit_price - line.discount_amount) * CASE WHEN line.quantity > 1 THEN 0.5 ELSE 1 END, 2
        ) AS refund_amount
    FROM sale
    INNER JOIN line ON sale.n = line.n AND line.line_number = 1
    WHERE sale.fate < 40 AND sale.other_status IS NULL
),

new_return AS (
    INSERT INTO retail.sales_returns
    (id, tenant_id, store_id, sale_id, customer_id, receipt_number, status, returned_at)
    SELECT
        return_id,
        tenant_id,
        returned_to_id,
        CASE WHEN mod(fate, 10) > 0 THEN sale_id END AS sale_id,
        customer_id,
        'B' || lpad(n::text, 9, '0') AS receipt_number,
        CASE WHEN fate = 7 THEN 'voided' ELSE 'completed' END AS status,
        greatest(
            sold_at,
            least(
                sold_at + make_interval(hours => (fate * 11)::integer),
                (%(last_day)s::date + 1)::timestamp AT TIME ZONE 'UTC'
            )
        ) AS returned_at
    FROM returned
    RETURNING 1
),

new_return_item AS (
    INSERT INTO retail.sales_return_items
    (id, sales_return_id, sale_item_id, product_id, quantity, refund_amount, unit_cost)
    SELECT
        md5(%(seed)s::bigint || '/return line/' || n)::uuid::text AS id,
        return_id,
        CASE WHEN mod(fate, 10) > 0 THEN item_id END AS sale_item_id,
        product_id,
        returned_quantity,
        refund_amount,
        unit_cost
    FROM returned
    RETURNING 1
),

paid AS MATERIALIZED (
    SELECT
        sale.n,
        sale.sale_id,
        sale.g,
        totals.total_amount,
        CASE WHEN mod((sale.g >> 40) & 1023, 10) = 0 THEN 2 ELSE 1 END AS parts
    FROM sale
    INNER JOIN (
        SELECT
            n,
            sum(
                quantity * unit_price - discount_amount + round((quantity * unit_price - discount_amount) * 0.2, 2)
            ) AS total_amount
        FROM line
        GROUP BY n
    ) AS totals ON sale.n = totals.n
),

new_payment AS (
    INSERT INTO retail.payments (id, sale_id, sales_return_id, method, amount)
    SELECT
        md5(%(seed)s::bigint || '/payment/' || n || '/' || part)::uuid::text AS id,
        sale_id,
        NULL AS sales_return_id,
        (ARRAY['card', 'card', 'card', 'card', 'cash', 'cash', 'wallet', 'voucher'])[1 + ((g + part) & 7)] AS method,
        CASE
            WHEN parts = 1 THEN total_amount
            WHEN part = 1 THEN round(total_amount / 2, 2)
            ELSE total_amount - round(total_amount / 2, 2)
        END AS amount
    FROM paid
    CROSS JOIN LATERAL generate_series(1, parts) AS part
    UNION ALL
    SELECT
        md5(%(seed)s::bigint || '/refund/' || n)::uuid::text AS id,
        NULL AS sale_id,
        return_id,
        (ARRAY['card', 'card', 'card', 'card', 'cash', 'cash', 'wallet', 'voucher'])[1 + ((g + 1) & 7)] AS method,
        refund_amount
    FROM returned
    RETURNING 1
)

SELECT
    (SELECT count(*) FROM new_sale) AS sales,
    (SELECT count(*) FROM new_item) AS sale_lines,
    (SELECT count(*) FROM new_return) AS returns,
    (SELECT count(*) FROM new_return_item) AS return_lines,
    (SELECT count(*) FROM new_payment) AS payments;
