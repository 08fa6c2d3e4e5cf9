-- Only names of IANA count as time zones. AT TIME ZONE takes POSIX strings too, whose sign is the opposite one (`UTC+3` is west of
-- Greenwich), and abbreviations before names (`IST` is Israel's, and `CET` has no summer time): business dates would be wrong, silently.

-- pg_timezone_names would read every zone file at each call. A POSIX string has a digit, and so have few of the names.
CREATE OR REPLACE FUNCTION salespulse.is_time_zone(zone text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF zone ~ '[0-9<]' THEN
        IF zone !~* '^((etc/)?gmt[+-]?0|etc/gmt(\+([1-9]|1[0-2])|-([1-9]|1[0-4]))|est5edt|cst6cdt|mst7mdt|pst8pdt)$' THEN
            RETURN false;
        END IF;
    ELSIF lower(zone) IN ('localtime', 'posixrules') OR zone ~* '^(posix|right)/' THEN
        RETURN false;
    ELSIF lower(zone) NOT IN ('utc', 'uct', 'gmt', 'zulu', 'est', 'mst', 'hst') AND zone NOT LIKE '%/%' THEN
        IF EXISTS (SELECT FROM pg_timezone_abbrevs AS a WHERE a.abbrev = upper(zone)) THEN
            RETURN false;
        END IF;
    END IF;
    RETURN (timestamptz 'epoch' AT TIME ZONE zone) IS NOT NULL;
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN false;
END
$$;

-- Stores that have such a zone already: what was counted in it leaves the figures with the next refresh, and waits in quarantine.
SELECT pg_advisory_xact_lock(hashtextextended('salespulse.refresh', 0));
WITH changed AS (
    UPDATE salespulse.dim_store AS d
    SET is_usable = false
    WHERE d.is_usable AND NOT salespulse.is_time_zone(d.time_zone)
    RETURNING d.store_key
)

INSERT INTO salespulse.pending_document (document_kind, document_id, reason)
SELECT
    f.document_kind,
    f.document_id,
    'store changed' AS reason
FROM changed AS c
INNER JOIN salespulse.fact_document AS f ON c.store_key = f.store_key
ON CONFLICT DO NOTHING;
