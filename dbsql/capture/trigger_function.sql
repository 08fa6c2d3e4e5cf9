-- One function per captured table. `{old_keys}` and `{new_keys}` are selects of (entity, key, tenant_id) over the
-- transition tables. SECURITY DEFINER, so that the application's role needs no right on the log; the fixed search_path
-- keeps a caller from slipping in objects of its own.
-- It never fails a statement of the application: where the table has lost a column that it reads (a migration renamed
-- or dropped it), it logs every key of the entities. It looks first, since an EXCEPTION block would open a
-- subtransaction for each statement; a branch that isn't taken is not planned either. `has_columns` asks the system
-- cache by column number, which costs far less than a query; numbers change with a dump and restore, so that a query
-- decides where the cache says no.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    is_complete boolean := {has_columns};
BEGIN
    IF is_complete IS NOT TRUE AND TG_OP <> 'TRUNCATE' THEN
        is_complete := {column_count} = (
            SELECT count(*) FROM pg_attribute AS a WHERE a.attrelid = TG_RELID AND a.attname = ANY ({columns}::name[])
        );
    END IF;
    IF is_complete AND TG_OP = 'INSERT' THEN
        INSERT INTO salespulse_source.change_log (entity, key, tenant_id)
        {new_keys};
    ELSIF is_complete AND TG_OP = 'UPDATE' THEN
        -- Both sides: a line may have moved from one sale to another.
        INSERT INTO salespulse_source.change_log (entity, key, tenant_id)
        {old_keys} UNION {new_keys};
    ELSIF is_complete AND TG_OP = 'DELETE' THEN
        INSERT INTO salespulse_source.change_log (entity, key, tenant_id)
        {old_keys};
    ELSIF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO salespulse_source.change_log (entity)
        SELECT entity FROM unnest({entities}::text[]) AS entity WHERE EXISTS (SELECT FROM new_rows);
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO salespulse_source.change_log (entity)
        SELECT entity FROM unnest({entities}::text[]) AS entity WHERE EXISTS (SELECT FROM old_rows);
    ELSE
        -- TRUNCATE names no rows: every key of the entity may have changed.
        INSERT INTO salespulse_source.change_log (entity)
        SELECT unnest({entities}::text[]);
    END IF;
    RETURN NULL;
END
$function$
