-- What the live traffic does to the application's tables, as a point of sale would.
-- Rows are picked with SKIP LOCKED: a transaction held open on purpose must not stop the others.

-- name: limit_lock_wait
-- For this transaction: whoever waits longer for a row gives up.
SELECT set_config('lock_timeout', '2s', TRUE);

-- name: stores
-- Every store with its tenant. One row per store.
SELECT
    id,
    tenant_id
FROM retail.stores
ORDER BY id;

-- name: products
-- Some products of one tenant.
SELECT id
FROM retail.products
WHERE tenant_id = %(tenant_id)s
ORDER BY id
LIMIT 500;

-- name: customers
-- Some customers of one tenant.
SELECT id
FROM retail.customers
WHERE tenant_id = %(tenant_id)s
ORDER BY id
LIMIT 500;

-- name: insert_sale
-- A sale without lines yet.
INSERT INTO retail.sales (tenant_id, store_id, customer_id, receipt_number, sold_at)
VALUES (%(tenant_id)s, %(store_id)s, %(customer_id)s, %(receipt_number)s, %(sold_at)s)
RETURNING id;

-- name: insert_sale_item
-- One line.
INSERT INTO retail.sale_items (sale_id, product_id, quantity, unit_price, discount_amount, tax_amount, unit_cost)
VALUES (
    %(sale_id)s, %(product_id)s, %(quantity)s, %(unit_price)s, %(discount_amount)s, %(tax_amount)s, %(unit_cost)s
);

-- name: insert_payment_of_sale
-- One payment over the whole of a sale.
INSERT INTO retail.payments (sale_id, method, amount)
SELECT
    sale_id,
    %(method)s::text AS method,
    sum(quantity * unit_price - discount_amount + tax_amount) AS amount
FROM retail.sale_items
WHERE sale_id = %(sale_id)s
GROUP BY sale_id;

-- name: pick_recent_sale
-- The first sale since a moment, in one of the states, that nobody holds.
SELECT
    id,
    tenant_id,
    store_id,
    status
FROM retail.sales
WHERE
    sold_at >= %(from_at)s
    AND deleted_at IS NULL
    AND status = any(%(statuses)s)
ORDER BY sold_at
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: pick_any_sale
-- The first sale by id from a random id on: ids are random, so every sale of every year is as likely as any other.
SELECT
    id,
    tenant_id,
    store_id,
    status
FROM retail.sales
WHERE
    id >= %(from_id)s
    AND deleted_at IS NULL
    AND status = any(%(statuses)s)
ORDER BY id
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: lines_of_sale
-- The lines of one sale.
SELECT id
FROM retail.sale_items
WHERE sale_id = %(sale_id)s
ORDER BY id;

-- name: edit_line
-- Another quantity and price.
UPDATE retail.sale_items
SET quantity = %(quantity)s, unit_price = %(unit_price)s
WHERE id = %(item_id)s;

-- name: delete_line
-- A line taken off the receipt.
DELETE FROM retail.sale_items
WHERE id = %(item_id)s;

-- name: set_status
-- Another state.
UPDATE retail.sales
SET status = %(status)s
WHERE id = %(sale_id)s;

-- name: soft_delete_sale
-- Hidden, not gone.
UPDATE retail.sales
SET deleted_at = %(deleted_at)s
WHERE id = %(sale_id)s;

-- name: restore_sale
-- Shown again; no row when it was not hidden.
UPDATE retail.sales
SET deleted_at = NULL
WHERE id = %(sale_id)s AND deleted_at IS NOT NULL;

-- name: delete_sale
-- Gone, with lines, payments and returns.
DELETE FROM retail.sales
WHERE id = %(sale_id)s;

-- name: move_to_store
-- Rung up in the wrong store.
UPDATE retail.sales
SET store_id = %(store_id)s
WHERE id = %(sale_id)s;

-- name: move_to_customer
-- Put on another customer's account, or on none.
UPDATE retail.sales
SET customer_id = %(customer_id)s
WHERE id = %(sale_id)s;

-- name: is_returned
-- Whether anything of this sale came back already.
SELECT count(*) > 0 AS is_returned
FROM retail.sales_returns
WHERE sale_id = %(sale_id)s;

-- name: insert_return
-- A return of one sale, in the store where it was sold.
INSERT INTO retail.sales_returns (tenant_id, store_id, sale_id, customer_id, receipt_number, returned_at)
SELECT
    tenant_id,
    store_id,
    id AS sale_id,
    customer_id,
    %(receipt_number)s::text AS receipt_number,
    %(returned_at)s::timestamptz AS returned_at
FROM retail.sales
WHERE id = %(sale_id)s
RETURNING id;

-- name: insert_return_items
-- The share (1 or 0.5) of every line of the sale comes back, and that share of its price.
INSERT INTO retail.sales_return_items
(sales_return_id, sale_item_id, product_id, quantity, refund_amount, unit_cost)
SELECT
    %(return_id)s::text AS sales_return_id,
    id AS sale_item_id,
    product_id,
    quantity * %(share)s::numeric AS quantity,
    round((quantity * unit_price - discount_amount) * %(share)s::numeric, 3) AS refund_amount,
    unit_cost
FROM retail.sale_items
WHERE sale_id = %(sale_id)s;

-- name: insert_payment_of_return
-- The refund, paid out at once.
INSERT INTO retail.payments (sales_return_id, method, amount)
SELECT
    sales_return_id,
    %(method)s::text AS method,
    sum(refund_amount) AS amount
FROM retail.sales_return_items
WHERE sales_return_id = %(return_id)s
GROUP BY sales_return_id;

-- name: pick_recent_return
-- The first return since a moment that nobody holds.
SELECT id
FROM retail.sales_returns
WHERE returned_at >= %(from_at)s AND status = 'completed'
ORDER BY returned_at
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: pick_any_return
-- The first return by id from a random id on.
SELECT id
FROM retail.sales_returns
WHERE id >= %(from_id)s AND status = 'completed'
ORDER BY id
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: delete_return
-- The return never happened.
DELETE FROM retail.sales_returns
WHERE id = %(return_id)s;

-- name: void_return
-- The return does not count.
UPDATE retail.sales_returns
SET status = 'voided'
WHERE id = %(return_id)s;
