-- What the bundled application does to its rows, by name; tests.pipelines.source.operations says what each is for.

-- name: insert_tenant
INSERT INTO retail.tenants (id, name, timezone) VALUES (%(id)s, %(name)s, %(zone)s) ON CONFLICT DO NOTHING
-- name: insert_store
INSERT INTO retail.stores (id, tenant_id, name, timezone) VALUES (%(id)s, %(tenant)s, %(name)s, %(zone)s)
ON CONFLICT DO NOTHING
-- name: insert_group
INSERT INTO retail.product_groups (id, tenant_id, name) VALUES (%(id)s, %(tenant)s, %(name)s) ON CONFLICT DO NOTHING
-- name: insert_product
INSERT INTO retail.products (id, tenant_id, product_group_id, sku, name)
VALUES (%(id)s, %(tenant)s, %(group)s, %(id)s, %(name)s) ON CONFLICT DO NOTHING
-- name: insert_customer
INSERT INTO retail.customers (id, tenant_id, name) VALUES (%(id)s, %(tenant)s, %(name)s) ON CONFLICT DO NOTHING
-- name: insert_sale
INSERT INTO retail.sales (id, tenant_id, store_id, customer_id, receipt_number, sold_at)
VALUES (%(id)s, %(tenant)s, %(store)s, %(customer)s, %(id)s, %(at)s)
-- name: insert_line
INSERT INTO retail.sale_items (id, sale_id, product_id, quantity, unit_price, discount_amount, tax_amount, unit_cost)
VALUES (%(id)s, %(sale)s, %(product)s, %(quantity)s, %(price)s, %(discount)s, %(tax)s, %(cost)s)
-- name: insert_payment
INSERT INTO retail.payments (id, sale_id, method, amount) VALUES (%(id)s, %(sale)s, %(method)s, %(amount)s)
-- name: insert_return
INSERT INTO retail.sales_returns (id, tenant_id, store_id, sale_id, customer_id, receipt_number, returned_at)
VALUES (%(id)s, %(tenant)s, %(store)s, %(sale)s, %(customer)s, %(id)s, %(at)s)
-- name: insert_return_line
INSERT INTO retail.sales_return_items (id, sales_return_id, product_id, quantity, refund_amount, unit_cost)
VALUES (%(id)s, %(return)s, %(product)s, %(quantity)s, %(refund)s, %(cost)s)
-- name: insert_refund
INSERT INTO retail.payments (id, sales_return_id, method, amount) VALUES (%(id)s, %(return)s, %(method)s, %(amount)s)
-- name: edit_lines
UPDATE retail.sale_items SET quantity = %(quantity)s, unit_price = %(price)s WHERE sale_id = %(sale)s
-- name: delete_a_line
DELETE FROM retail.sale_items WHERE id = (SELECT min(id) FROM retail.sale_items WHERE sale_id = %(sale)s)
-- name: delete_lines
DELETE FROM retail.sale_items WHERE sale_id = %(sale)s
-- name: move_a_line
UPDATE retail.sale_items SET sale_id = %(other)s
WHERE id = (SELECT min(id) FROM retail.sale_items WHERE sale_id = %(sale)s)
-- name: poison_a_line
UPDATE retail.sale_items SET quantity = 'NaN'
WHERE id = (SELECT min(id) FROM retail.sale_items WHERE sale_id = %(sale)s)
-- name: mend_lines
UPDATE retail.sale_items SET quantity = 3 WHERE sale_id = %(sale)s AND quantity = 'NaN'
-- name: set_payments
UPDATE retail.payments SET amount = %(amount)s, method = %(method)s WHERE sale_id = %(sale)s
-- name: delete_payments
DELETE FROM retail.payments WHERE sale_id = %(sale)s
-- name: delete_sale
DELETE FROM retail.sales WHERE id = %(sale)s
-- name: hide_sale
UPDATE retail.sales SET deleted_at = now() WHERE id = %(sale)s
-- name: show_sale
UPDATE retail.sales SET deleted_at = NULL WHERE id = %(sale)s
-- name: void_sale
UPDATE retail.sales SET status = 'voided' WHERE id = %(sale)s
-- name: complete_sale
UPDATE retail.sales SET status = 'completed' WHERE id = %(sale)s
-- name: move_sale
UPDATE retail.sales SET tenant_id = %(tenant)s, store_id = %(store)s WHERE id = %(sale)s
-- name: set_customer
UPDATE retail.sales SET customer_id = %(customer)s WHERE id = %(sale)s
-- name: set_moment
UPDATE retail.sales SET sold_at = %(at)s WHERE id = %(sale)s
-- name: delete_return
DELETE FROM retail.sales_returns WHERE id = %(return)s
-- name: void_return
UPDATE retail.sales_returns SET status = 'voided' WHERE id = %(return)s
-- name: complete_return
UPDATE retail.sales_returns SET status = 'completed' WHERE id = %(return)s
-- name: set_return_moment
UPDATE retail.sales_returns SET returned_at = %(at)s WHERE id = %(return)s
-- name: store_zone
UPDATE retail.stores SET timezone = %(zone)s WHERE id = %(store)s
-- name: tenant_zone
UPDATE retail.tenants SET timezone = coalesce(%(zone)s, 'UTC') WHERE id = %(tenant)s
-- name: set_group
UPDATE retail.products SET product_group_id = %(group)s, name = %(name)s WHERE id = %(product)s
-- name: rename_group
UPDATE retail.product_groups SET name = %(name)s WHERE id = %(group)s
-- name: delete_group
DELETE FROM retail.product_groups WHERE id = %(group)s
-- name: delete_product
DELETE FROM retail.products WHERE id = %(product)s
-- name: delete_customer
DELETE FROM retail.customers WHERE id = %(customer)s
-- name: delete_store
DELETE FROM retail.stores WHERE id = %(store)s
-- name: delete_tenant
DELETE FROM retail.tenants WHERE id = %(tenant)s
-- name: truncate_lines
TRUNCATE retail.sale_items CASCADE
-- name: truncate_payments
TRUNCATE retail.payments
-- name: truncate_sales
TRUNCATE retail.sales CASCADE
-- name: truncate_customers
TRUNCATE retail.customers CASCADE
-- name: touch_lines
UPDATE retail.sale_items SET discount_amount = discount_amount + 0.01
