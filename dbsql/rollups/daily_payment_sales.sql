-- One row per tenant, store, business date and payment method.
-- relation: document_payment
-- grain: tenant_key, store_key, business_date, payment_method
-- counts: payment_count, refund_count
SELECT
    tenant_key,
    store_key,
    business_date,
    payment_method,
    sum(payment_count) AS payment_count,
    sum(refund_count) AS refund_count,
    sum(payment_amount) AS payment_amount,
    sum(refund_amount) AS refund_amount
FROM {relation}
GROUP BY tenant_key, store_key, business_date, payment_method
