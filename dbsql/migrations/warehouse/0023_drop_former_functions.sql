-- Migration 0013 used to create these functions, with parameters of other names, which CREATE OR REPLACE can't change. They are
-- created from dbsql/functions/ in the same transaction. A database that began after that has none of them here.
DROP FUNCTION IF EXISTS salespulse.dashboard_figures(text[], salespulse.dashboard_question);
DROP FUNCTION IF EXISTS salespulse.dashboard_opening(integer, text[]);
DROP FUNCTION IF EXISTS salespulse.dashboard_names(salespulse.dashboard_question);
DROP FUNCTION IF EXISTS salespulse.dashboard_sums(salespulse.dashboard_question);
DROP FUNCTION IF EXISTS salespulse.dashboard_hours(salespulse.dashboard_question);
DROP FUNCTION IF EXISTS salespulse.dashboard_cells(salespulse.dashboard_question);
DROP FUNCTION IF EXISTS salespulse.dashboard_customer_counts(salespulse.dashboard_question);
DROP FUNCTION IF EXISTS salespulse.dashboard_product_totals(salespulse.dashboard_question);
DROP FUNCTION IF EXISTS salespulse.dashboard_products(salespulse.dashboard_question);
DROP FUNCTION IF EXISTS salespulse.dashboard_top_products(salespulse.dashboard_question);
DROP FUNCTION IF EXISTS salespulse.dashboard_top_customers(salespulse.dashboard_question);
DROP FUNCTION IF EXISTS salespulse.dashboard_payments(salespulse.dashboard_question);
DROP FUNCTION IF EXISTS salespulse.dashboard_stores(salespulse.dashboard_question);
