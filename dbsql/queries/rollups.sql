-- What maintains a rollup's table, for the refresh (the signed difference) and for verification and rebuild (the facts, or
-- the staged source). `{select}` is the rollup's own file over one of the relations below; the other names in braces are lists
-- of its columns. In each statement `s` is a row of the select, and `r` a row of the rollup's table.

-- name: merge_delta
-- Add the signed difference. A row whose counts are all zero afterwards is deleted.
MERGE INTO {table} AS r
USING (
    SELECT * FROM ({select}) AS s WHERE ({s_measures}) IS DISTINCT FROM ({zeros})
) AS s ON ({r_grain}) = ({s_grain})
WHEN MATCHED AND ({count_sums}) = ({count_zeros}) THEN DELETE
WHEN MATCHED THEN UPDATE SET {additions}
WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({s_columns});

-- name: list_drifted_rows
-- The first rows that differ from the select, with both sides' measures and how many differ in all.
SELECT
    {grain},
    s.{first_measure} IS NOT NULL AS is_expected,
    r.{first_measure} IS NOT NULL AS is_present,
    {expected},
    {actual},
    count(*) OVER () AS drifted
FROM ({select}) AS s
FULL JOIN (
    SELECT {columns} FROM {table}
    WHERE {date_column} BETWEEN %(from_date)s AND %(to_date)s
) AS r USING ({grain}) -- noqa: ST07
WHERE ({s_measures}) IS DISTINCT FROM ({r_measures})
ORDER BY {grain}
LIMIT %(row_limit)s;

-- name: create_drifted_rows
-- Every row that differs from the select, as it should be.
CREATE TEMP TABLE drifted_row ON COMMIT DROP AS
SELECT
    {grain},
    {s_measures},
    s.{first_measure} IS NOT NULL AS is_expected
FROM ({select}) AS s
FULL JOIN (
    SELECT {columns} FROM {table}
    WHERE {date_column} BETWEEN %(from_date)s AND %(to_date)s
) AS r USING ({grain}) -- noqa: ST07
WHERE ({s_measures}) IS DISTINCT FROM ({r_measures});

-- name: repair_drifted_rows
MERGE INTO {table} AS r
USING pg_temp.drifted_row AS s ON ({r_grain}) = ({s_grain})
WHEN MATCHED AND s.is_expected THEN UPDATE SET {assignments}
WHEN MATCHED THEN DELETE
WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({s_columns});

-- name: list_drifted_tenants
SELECT DISTINCT w.tenant_key FROM pg_temp.drifted_row AS w;

-- name: drop_drifted_rows
DROP TABLE pg_temp.drifted_row;

-- name: list_months
-- The first day of each month that the rollup has rows of.
SELECT DISTINCT date_trunc('month', r.{date_column})::date AS month FROM {table} AS r;

-- name: delta_document
-- The signed difference of documents: the present state minus what was last applied.
SELECT
    d.tenant_key,
    d.store_key,
    d.customer_key,
    d.business_date,
    d.business_hour,
    d.sale_count,
    d.return_count,
    d.line_count,
    d.return_line_count,
    d.units,
    d.returned_units,
    d.gross_amount,
    d.discount_amount,
    d.tax_amount,
    d.cost_amount,
    d.refund_amount
FROM pg_temp.new_document AS d
WHERE d.problem IS NULL
UNION ALL
SELECT
    o.tenant_key,
    o.store_key,
    o.customer_key,
    o.business_date,
    o.business_hour,
    -o.sale_count,
    -o.return_count,
    -o.line_count,
    -o.return_line_count,
    -o.units,
    -o.returned_units,
    -o.gross_amount,
    -o.discount_amount,
    -o.tax_amount,
    -o.cost_amount,
    -o.refund_amount
FROM pg_temp.old_document AS o;

-- name: delta_document_line
SELECT * FROM pg_temp.delta_line;

-- name: delta_document_payment
SELECT * FROM pg_temp.delta_payment;

-- name: delta_document_line_with_header
-- The same of lines, each with the hour and the customer of its document.
SELECT
    l.*,
    d.business_hour,
    d.customer_key
FROM pg_temp.delta_line AS l
INNER JOIN pg_temp.new_document AS d ON l.document_key = d.document_key
WHERE l.sign = 1
UNION ALL
SELECT
    l.*,
    o.business_hour,
    o.customer_key
FROM pg_temp.delta_line AS l
INNER JOIN pg_temp.old_document AS o ON l.document_key = o.document_key
WHERE l.sign = -1;

-- name: rows_document
-- Documents of a range of dates: of the facts, or of the source as it was staged for verification.
SELECT * FROM {document} AS d
WHERE d.business_date BETWEEN %(from_date)s AND %(to_date)s;

-- name: rows_document_line
SELECT * FROM {document_line} AS l
WHERE l.business_date BETWEEN %(from_date)s AND %(to_date)s;

-- name: rows_document_payment
SELECT * FROM {document_payment} AS p
WHERE p.business_date BETWEEN %(from_date)s AND %(to_date)s;

-- name: rows_document_line_with_header
SELECT
    l.*,
    d.business_hour,
    d.customer_key
FROM {document_line} AS l
INNER JOIN {document} AS d ON l.document_key = d.document_key AND l.business_date = d.business_date
WHERE
    l.business_date BETWEEN %(from_date)s AND %(to_date)s
    AND d.business_date BETWEEN %(from_date)s AND %(to_date)s;
