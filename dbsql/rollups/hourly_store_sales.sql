-- One row per tenant, store, business date and hour of the day (0 to 23, local to the store).
-- relation: document
-- grain: tenant_key, store_key, business_date, business_hour
-- counts: sale_count, return_count
SELECT
    tenant_key,
    store_key,
    business_date,
    business_hour,
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
GROUP BY tenant_key, store_key, business_date, business_hour
