-- The same operations on the shop. There are no foreign keys: what the bundled application's cascades remove stays here.

-- name: insert_tenant
INSERT INTO shop.companies (company_no, title, tz) VALUES (%(id)s, %(name)s, %(zone)s) ON CONFLICT DO NOTHING
-- name: insert_store
INSERT INTO shop.outlets (outlet_no, company_no, title, tz) VALUES (%(id)s, %(tenant)s, %(name)s, %(zone)s)
ON CONFLICT DO NOTHING
-- name: insert_group
INSERT INTO shop.categories (category_no, company_no, title) VALUES (%(id)s, %(tenant)s, %(name)s)
ON CONFLICT DO NOTHING
-- name: insert_product
INSERT INTO shop.articles (article_no, company_no, category_no, code, title)
VALUES (%(id)s, %(tenant)s, %(group)s, %(name)s, %(name)s) ON CONFLICT DO NOTHING
-- name: insert_customer
INSERT INTO shop.clients (client_no, company_no, full_name) VALUES (%(id)s, %(tenant)s, %(name)s)
ON CONFLICT DO NOTHING
-- name: insert_sale
INSERT INTO shop.tickets (ticket_no, company_no, outlet_no, client_no, state, closed_at)
VALUES (%(id)s, %(tenant)s, %(store)s, %(customer)s, 'paid', %(at)s AT TIME ZONE 'UTC')
-- name: insert_line
INSERT INTO shop.sale_lines (
    line_no, company_no, ticket_no, article_no, pieces, price_cents, discount_cents, tax_cents, cost_cents
)
VALUES (
    %(id)s, %(tenant)s, %(sale)s, %(product)s, %(quantity)s, 100 * %(price)s::numeric, 100 * %(discount)s::numeric,
    100 * %(tax)s::numeric, 100 * %(cost)s::numeric
)
-- name: insert_payment
INSERT INTO shop.receipts (receipt_no, ticket_no, means, cents)
VALUES (%(id)s, %(sale)s, %(method)s, 100 * %(amount)s::numeric)
-- name: insert_return
INSERT INTO shop.refunds (refund_no, company_no, outlet_no, ticket_no, client_no, state, refunded_at)
VALUES (%(id)s, %(tenant)s, %(store)s, %(sale)s, %(customer)s, 'paid', %(at)s AT TIME ZONE 'UTC')
-- name: insert_return_line
INSERT INTO shop.refund_lines (refund_line_no, company_no, refund_no, article_no, pieces, refund_cents, cost_cents)
VALUES (
    %(id)s, %(tenant)s, %(return)s, %(product)s, %(quantity)s, 100 * %(refund)s::numeric, 100 * %(cost)s::numeric
)
-- name: insert_refund
INSERT INTO shop.payouts (payout_no, refund_no, means, cents)
VALUES (%(id)s, %(return)s, %(method)s, 100 * %(amount)s::numeric)
-- name: edit_lines
UPDATE shop.sale_lines SET pieces = %(quantity)s, price_cents = 100 * %(price)s::numeric WHERE ticket_no = %(sale)s
-- name: delete_a_line
DELETE FROM shop.sale_lines WHERE line_no = (SELECT min(line_no) FROM shop.sale_lines WHERE ticket_no = %(sale)s)
-- name: delete_lines
DELETE FROM shop.sale_lines WHERE ticket_no = %(sale)s
-- name: move_a_line
UPDATE shop.sale_lines SET ticket_no = %(other)s
WHERE line_no = (SELECT min(line_no) FROM shop.sale_lines WHERE ticket_no = %(sale)s)
-- name: poison_a_line
UPDATE shop.sale_lines SET price_cents = NULL
WHERE line_no = (SELECT min(line_no) FROM shop.sale_lines WHERE ticket_no = %(sale)s)
-- name: mend_lines
UPDATE shop.sale_lines SET price_cents = 250 WHERE ticket_no = %(sale)s AND price_cents IS NULL
-- name: set_payments
UPDATE shop.receipts SET cents = 100 * %(amount)s::numeric, means = %(method)s WHERE ticket_no = %(sale)s
-- name: delete_payments
DELETE FROM shop.receipts WHERE ticket_no = %(sale)s
-- name: delete_sale
DELETE FROM shop.tickets WHERE ticket_no = %(sale)s
-- name: hide_sale
UPDATE shop.tickets SET is_hidden = true WHERE ticket_no = %(sale)s
-- name: show_sale
UPDATE shop.tickets SET is_hidden = false WHERE ticket_no = %(sale)s
-- name: void_sale
UPDATE shop.tickets SET state = 'cancelled' WHERE ticket_no = %(sale)s
-- name: complete_sale
UPDATE shop.tickets SET state = 'paid' WHERE ticket_no = %(sale)s
-- name: move_sale
UPDATE shop.tickets SET company_no = %(tenant)s, outlet_no = %(store)s WHERE ticket_no = %(sale)s
-- name: set_customer
UPDATE shop.tickets SET client_no = %(customer)s WHERE ticket_no = %(sale)s
-- name: set_moment
UPDATE shop.tickets SET closed_at = %(at)s AT TIME ZONE 'UTC' WHERE ticket_no = %(sale)s
-- name: delete_return
DELETE FROM shop.refunds WHERE refund_no = %(return)s
-- name: void_return
UPDATE shop.refunds SET state = 'cancelled' WHERE refund_no = %(return)s
-- name: complete_return
UPDATE shop.refunds SET state = 'paid' WHERE refund_no = %(return)s
-- name: set_return_moment
UPDATE shop.refunds SET refunded_at = %(at)s AT TIME ZONE 'UTC' WHERE refund_no = %(return)s
-- name: store_zone
UPDATE shop.outlets SET tz = %(zone)s WHERE outlet_no = %(store)s
-- name: tenant_zone
UPDATE shop.companies SET tz = %(zone)s WHERE company_no = %(tenant)s
-- name: set_group
UPDATE shop.articles SET category_no = %(group)s, title = %(name)s WHERE article_no = %(product)s
-- name: rename_group
UPDATE shop.categories SET title = %(name)s WHERE category_no = %(group)s
-- name: delete_group
DELETE FROM shop.categories WHERE category_no = %(group)s
-- name: delete_product
DELETE FROM shop.articles WHERE article_no = %(product)s
-- name: delete_customer
DELETE FROM shop.clients WHERE client_no = %(customer)s
-- name: delete_store
DELETE FROM shop.outlets WHERE outlet_no = %(store)s
-- name: delete_tenant
DELETE FROM shop.companies WHERE company_no = %(tenant)s
-- name: truncate_lines
TRUNCATE shop.sale_lines
-- name: truncate_payments
TRUNCATE shop.receipts
-- name: truncate_sales
TRUNCATE shop.tickets
-- name: truncate_customers
TRUNCATE shop.clients
-- name: touch_lines
UPDATE shop.sale_lines SET discount_cents = discount_cents + 1
