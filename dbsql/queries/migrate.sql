-- Forward migrations and files of functions: what was applied, with which text.

-- name: take_lock
-- Two migrating processes take turns; released with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('salespulse.migrate', 0));

-- name: create_history
-- The history stands in its own schema, since a warehouse may be another server than the source.
CREATE TABLE IF NOT EXISTS public.salespulse_migration (
    migration_set text NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (migration_set, name)
);

-- name: history_exists
SELECT to_regclass('public.salespulse_migration') IS NOT NULL;

-- name: read_history
SELECT name, checksum FROM public.salespulse_migration WHERE migration_set = %(migration_set)s ORDER BY name;

-- name: record
-- A file of functions is applied again when its text changes; a migration never is.
INSERT INTO public.salespulse_migration (migration_set, name, checksum)
VALUES (%(migration_set)s, %(name)s, %(checksum)s)
ON CONFLICT (migration_set, name) DO UPDATE SET checksum = excluded.checksum, applied_at = excluded.applied_at;
