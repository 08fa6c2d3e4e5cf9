-- One row per tenant, month (its first day), product and store: long ranges read this instead of the days.
-- relation: document_line
-- grain: tenant_key, business_month, product_key, store_key
-- counts: line_count, return_line_count
SELECT
    tenant_key,
    date_trunc('month', business_date::timestamp)::date AS business_month,
    product_key,
    store_key,
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
GROUP BY tenant_key, date_trunc('month', business_date::timestamp)::date, product_key, store_key
