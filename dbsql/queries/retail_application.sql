-- What the bundled application needs besides its tables. Touches schema `retail` only.

-- name: take_lock
-- Two installers at once wait for each other; the lock goes with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('salespulse: install the bundled application', 0));

-- name: tables
-- The application's tables that exist. One row per table.
SELECT table_name
FROM information_schema.tables
WHERE table_schema = 'retail' AND table_type = 'BASE TABLE';
