-- The same operations on the tables with quoted names.

-- name: insert_tenant
INSERT INTO public."Tenant" (id, name, timezone) VALUES (%(id)s, %(name)s, %(zone)s) ON CONFLICT DO NOTHING
-- name: insert_store
INSERT INTO public."Store" (id, "tenantId", name, timezone) VALUES (%(id)s, %(tenant)s, %(name)s, %(zone)s)
ON CONFLICT DO NOTHING
-- name: insert_group
INSERT INTO public."ProductGroup" (id, "tenantId", name) VALUES (%(id)s, %(tenant)s, %(name)s) ON CONFLICT DO NOTHING
-- name: insert_product
INSERT INTO public."Product" (id, "tenantId", "productGroupId", sku, name)
VALUES (%(id)s, %(tenant)s, %(group)s, %(id)s, %(name)s) ON CONFLICT DO NOTHING
-- name: insert_customer
INSERT INTO public."Customer" (id, "tenantId", name) VALUES (%(id)s, %(tenant)s, %(name)s) ON CONFLICT DO NOTHING
-- name: insert_sale
INSERT INTO public."Sale" (id, "tenantId", "storeId", "customerId", "receiptNumber", "soldAt")
VALUES (%(id)s, %(tenant)s, %(store)s, %(customer)s, %(id)s, %(at)s)
-- name: insert_line
INSERT INTO public."SaleItem" (id, "saleId", "productId", quantity, "unitPrice", "discountAmount", "taxAmount",
    "unitCost")
VALUES (%(id)s, %(sale)s, %(product)s, %(quantity)s, %(price)s, %(discount)s, %(tax)s, %(cost)s)
-- name: insert_payment
INSERT INTO public."Payment" (id, "saleId", method, amount) VALUES (%(id)s, %(sale)s, %(method)s, %(amount)s)
-- name: insert_return
INSERT INTO "Back.Office"."Return" (id, "tenantId", "storeId", "saleId", "customerId", "receiptNumber", "returnedAt")
VALUES (%(id)s, %(tenant)s, %(store)s, %(sale)s, %(customer)s, %(id)s, %(at)s)
-- name: insert_return_line
INSERT INTO "Back.Office"."Return.Item" (id, "salesReturnId", "productId", quantity, "refundAmount", "unitCost")
VALUES (%(id)s, %(return)s, %(product)s, %(quantity)s, %(refund)s, %(cost)s)
-- name: insert_refund
INSERT INTO public."Payment" (id, "salesReturnId", method, amount) VALUES (%(id)s, %(return)s, %(method)s, %(amount)s)
-- name: edit_lines
UPDATE public."SaleItem" SET quantity = %(quantity)s, "unitPrice" = %(price)s WHERE "saleId" = %(sale)s
-- name: delete_a_line
DELETE FROM public."SaleItem" WHERE id = (SELECT min(id) FROM public."SaleItem" WHERE "saleId" = %(sale)s)
-- name: delete_lines
DELETE FROM public."SaleItem" WHERE "saleId" = %(sale)s
-- name: move_a_line
UPDATE public."SaleItem" SET "saleId" = %(other)s
WHERE id = (SELECT min(id) FROM public."SaleItem" WHERE "saleId" = %(sale)s)
-- name: poison_a_line
UPDATE public."SaleItem" SET quantity = 'NaN'
WHERE id = (SELECT min(id) FROM public."SaleItem" WHERE "saleId" = %(sale)s)
-- name: mend_lines
UPDATE public."SaleItem" SET quantity = 3 WHERE "saleId" = %(sale)s AND quantity = 'NaN'
-- name: set_payments
UPDATE public."Payment" SET amount = %(amount)s, method = %(method)s WHERE "saleId" = %(sale)s
-- name: delete_payments
DELETE FROM public."Payment" WHERE "saleId" = %(sale)s
-- name: delete_sale
DELETE FROM public."Sale" WHERE id = %(sale)s
-- name: hide_sale
UPDATE public."Sale" SET "deletedAt" = now() WHERE id = %(sale)s
-- name: show_sale
UPDATE public."Sale" SET "deletedAt" = NULL WHERE id = %(sale)s
-- name: void_sale
UPDATE public."Sale" SET status = 'voided' WHERE id = %(sale)s
-- name: complete_sale
UPDATE public."Sale" SET status = 'completed' WHERE id = %(sale)s
-- name: move_sale
UPDATE public."Sale" SET "tenantId" = %(tenant)s, "storeId" = %(store)s WHERE id = %(sale)s
-- name: set_customer
UPDATE public."Sale" SET "customerId" = %(customer)s WHERE id = %(sale)s
-- name: set_moment
UPDATE public."Sale" SET "soldAt" = %(at)s WHERE id = %(sale)s
-- name: delete_return
DELETE FROM "Back.Office"."Return" WHERE id = %(return)s
-- name: void_return
UPDATE "Back.Office"."Return" SET status = 'voided' WHERE id = %(return)s
-- name: complete_return
UPDATE "Back.Office"."Return" SET status = 'completed' WHERE id = %(return)s
-- name: set_return_moment
UPDATE "Back.Office"."Return" SET "returnedAt" = %(at)s WHERE id = %(return)s
-- name: store_zone
UPDATE public."Store" SET timezone = %(zone)s WHERE id = %(store)s
-- name: tenant_zone
UPDATE public."Tenant" SET timezone = coalesce(%(zone)s, 'UTC') WHERE id = %(tenant)s
-- name: set_group
UPDATE public."Product" SET "productGroupId" = %(group)s, name = %(name)s WHERE id = %(product)s
-- name: rename_group
UPDATE public."ProductGroup" SET name = %(name)s WHERE id = %(group)s
-- name: delete_group
DELETE FROM public."ProductGroup" WHERE id = %(group)s
-- name: delete_product
DELETE FROM public."Product" WHERE id = %(product)s
-- name: delete_customer
DELETE FROM public."Customer" WHERE id = %(customer)s
-- name: delete_store
DELETE FROM public."Store" WHERE id = %(store)s
-- name: delete_tenant
DELETE FROM public."Tenant" WHERE id = %(tenant)s
-- name: truncate_lines
TRUNCATE public."SaleItem" CASCADE
-- name: truncate_payments
TRUNCATE public."Payment"
-- name: truncate_sales
TRUNCATE public."Sale" CASCADE
-- name: truncate_customers
TRUNCATE public."Customer" CASCADE
-- name: touch_lines
UPDATE public."SaleItem" SET "discountAmount" = "discountAmount" + 0.01
