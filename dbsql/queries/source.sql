-- Install, uninstall and check the mapping of an application's schema, on the primary.

-- name: list_columns
-- Columns of one table or view, empty when there is none of that name.
SELECT
    a.attname AS column_name,
    format_type(a.atttypid, NULL) AS type_name
FROM pg_attribute AS a
INNER JOIN pg_class AS c ON a.attrelid = c.oid
WHERE
    c.relnamespace = to_regnamespace(quote_ident(%(schema)s))
    AND c.relname = %(relation)s
    AND a.attnum > 0
    AND NOT a.attisdropped;

-- name: list_column_numbers
SELECT
    a.attname AS column_name,
    a.attnum::integer AS column_number
FROM pg_attribute AS a
INNER JOIN pg_class AS c ON a.attrelid = c.oid
WHERE
    c.relnamespace = to_regnamespace(quote_ident(%(schema)s))
    AND c.relname = %(relation)s
    AND a.attnum > 0
    AND NOT a.attisdropped;

-- name: list_triggers
-- Salespulse's triggers on one table that are enabled.
SELECT t.tgname
FROM pg_trigger AS t
INNER JOIN pg_class AS c ON t.tgrelid = c.oid
WHERE
    c.relnamespace = to_regnamespace(quote_ident(%(schema)s))
    AND c.relname = %(relation)s
    AND t.tgname LIKE 'salespulse\_%%'
    AND t.tgenabled <> 'D';

-- name: installed_captures
SELECT source_name, function_name FROM salespulse_source.installed_capture;

-- name: record_capture
INSERT INTO salespulse_source.installed_capture (source_name, table_name, function_name)
VALUES (%(source_name)s, %(table_name)s, %(function_name)s);

-- name: forget_captures
DELETE FROM salespulse_source.installed_capture WHERE source_name = %(source_name)s;

-- name: list_views
-- The mapping views that stand in the contract's schema.
SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'salespulse_source'::regnamespace AND c.relkind = 'v';

-- name: list_dependants
-- Views outside the contract's schema that read a view in it.
SELECT DISTINCT r.ev_class::regclass::text AS view_name
FROM pg_depend AS d
INNER JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
INNER JOIN pg_class AS dependant ON r.ev_class = dependant.oid
INNER JOIN pg_class AS v ON d.refclassid = 'pg_class'::regclass AND d.refobjid = v.oid
WHERE
    v.relnamespace = 'salespulse_source'::regnamespace
    AND v.relkind = 'v'
    AND dependant.relnamespace <> v.relnamespace
ORDER BY view_name;

-- name: grant_views
-- The pipeline's role reads them where a setting lets the refresh read the primary.
GRANT SELECT ON ALL TABLES IN SCHEMA salespulse_source TO salespulse_reader, salespulse_pipeline;

-- name: beat
-- One heartbeat; on a replica its age bounds the staleness, and its timeline says whose history the replica shows.
UPDATE salespulse_source.heartbeat
SET
    beat_at = clock_timestamp(),
    timeline = ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer;
