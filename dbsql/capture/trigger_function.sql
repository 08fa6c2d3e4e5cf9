-- One function per captured table. `{old_keys}` and `{new_keys}` are selects of (entity, key, tenant_id) over the
-- transition tables. SECURITY DEFINER, so that the application's role needs no right on the log; the fixed search_path
-- keeps a caller from slipping in objects of its own.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO salespulse_source.change_log (entity, key, tenant_id)
        {new_keys};
    ELSIF TG_OP = 'UPDATE' THEN
        -- Both sides: a line may have moved from one sale to another.
        INSERT INTO salespulse_source.change_log (entity, key, tenant_id)
        {old_keys} UNION {new_keys};
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO salespulse_source.change_log (entity, key, tenant_id)
        {old_keys};
    ELSE
        -- TRUNCATE names no rows: every key of the entity may have changed.
        INSERT INTO salespulse_source.change_log (entity)
        SELECT unnest({entities}::text[]);
    END IF;
    RETURN NULL;
END
$function$
