-- What the functions of dbsql/functions/ are called with: the tenant, the business dates (both ends included, and the period of equal
-- length before them, which begins at previous_from) and the stores (NULL: every one). Rollups by month are read for whole months and
-- those by day for the rest: the pieces of both periods come as parallel arrays. A piece of sign -1 is taken away: a month less a few
-- days is quicker than many days.
-- (The linter takes the brackets of an array type for an operator.)
-- noqa: disable=LT01
CREATE TYPE salespulse.dashboard_question AS (
    tenant_key integer,
    store_keys integer[],
    from_date date,
    to_date date,
    previous_from date,
    day_from date[],
    day_to date[],
    day_is_current boolean[],
    day_sign integer[],
    month_from date[],
    month_to date[],
    month_is_current boolean[],
    month_sign integer[],
    sort text,
    row_limit integer,
    row_offset integer
);
-- noqa: enable=LT01
