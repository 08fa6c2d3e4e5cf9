-- Loading the Online Retail data set into the application's tables.

-- name: tenant_exists
-- Whether the tenant with this id is there already.
SELECT count(*) > 0 AS tenant_exists
FROM retail.tenants
WHERE id = %(tenant_id)s;

-- name: delete_tenant
-- Take a tenant away with all that hangs on it (the foreign keys cascade).
DELETE FROM retail.tenants
WHERE id = %(tenant_id)s;

-- name: index_sale_items_by_product
-- Deleting a product looks for its sale lines: a table scan per product without this. For the deletion only, since it
-- would cost every sale afterwards.
CREATE INDEX sale_items_product_id_replace_idx ON retail.sale_items (product_id);

-- name: index_return_items_by_product
-- The same for return lines.
CREATE INDEX sales_return_items_product_id_replace_idx ON retail.sales_return_items (product_id);

-- name: index_returns_by_customer
-- The same for a customer's returns.
CREATE INDEX sales_returns_customer_id_replace_idx ON retail.sales_returns (customer_id);

-- name: drop_index_sale_items_by_product
-- After the deletion.
DROP INDEX retail.sale_items_product_id_replace_idx;

-- name: drop_index_return_items_by_product
-- After the deletion.
DROP INDEX retail.sales_return_items_product_id_replace_idx;

-- name: drop_index_returns_by_customer
-- After the deletion.
DROP INDEX retail.sales_returns_customer_id_replace_idx;

-- name: insert_tenant
-- One tenant. Raises a unique violation when another session loads the same one.
INSERT INTO retail.tenants (id, name, timezone, currency)
VALUES (%(tenant_id)s, %(name)s, %(timezone)s, %(currency)s);

-- name: copy_stores
-- Stream in stores.
COPY retail.stores (id, tenant_id, name) FROM STDIN;

-- name: copy_product_groups
-- Stream in product groups.
COPY retail.product_groups (id, tenant_id, name) FROM STDIN;

-- name: copy_products
-- Stream in products.
COPY retail.products (id, tenant_id, product_group_id, sku, name) FROM STDIN;

-- name: copy_customers
-- Stream in customers.
COPY retail.customers (id, tenant_id, name) FROM STDIN;

-- name: copy_sales
-- Stream in sales, completed by default.
COPY retail.sales (id, tenant_id, store_id, customer_id, receipt_number, sold_at) FROM STDIN;

-- name: copy_sale_items
-- Stream in sale lines; discount and tax stay 0, the cost stays unknown.
COPY retail.sale_items (id, sale_id, product_id, quantity, unit_price) FROM STDIN;

-- name: copy_sales_returns
-- Stream in returns without a link to their sales, which the data set does not give.
COPY retail.sales_returns (id, tenant_id, store_id, customer_id, receipt_number, returned_at) FROM STDIN;

-- name: copy_sales_return_items
-- Stream in return lines.
COPY retail.sales_return_items (id, sales_return_id, product_id, quantity, refund_amount) FROM STDIN;

-- name: copy_payments
-- Stream in payments.
COPY retail.payments (id, sale_id, sales_return_id, method, amount) FROM STDIN;

-- name: analyze
-- Give the planner the new sizes at once instead of at autovacuum's next round.
ANALYZE retail.tenants, retail.stores, retail.product_groups, retail.products, retail.customers, retail.sales,
retail.sale_items, retail.sales_returns, retail.sales_return_items, retail.payments;
