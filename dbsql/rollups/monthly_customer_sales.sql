-- One row per tenant, month (its first day), customer and store.
-- relation: document
-- grain: tenant_key, business_month, customer_key, store_key
-- counts: sale_count, return_count
SELECT
    tenant_key,
    date_trunc('month', business_date::timestamp)::date AS business_month,
    customer_key,
    store_key,
    sum(sale_count) AS sale_count,
    sum(return_count) AS return_count,
    sum(line_count) AS line_count,
    sum(return_line_count) AS return_line_count,
    sum(units) AS units,
    sum(returned_units) AS returned_units,
    sum(gross_amount) AS gross_amount,
    sum(discount_amount) AS discount_amount,
    sum(tax_amount) AS tax_amount,
    sum(cost_amount) AS cost_amount,
    sum(refund_amount) AS refund_amount
FROM {relation}
WHERE customer_key IS NOT NULL
GROUP BY tenant_key, date_trunc('month', business_date::timestamp)::date, customer_key, store_key
