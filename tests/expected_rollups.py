"""What each rollup should hold, by plain SQL over the application's tables: the independent truth of the tests.

Nothing here knows the mapping views, the facts or the rollups. A document is a sale or a return; it counts iff its status
is 'completed' and deleted_at is null. Dates and hours are local to the store (its timezone, else the tenant's). Rows are
keyed by the application's own ids (text).
"""

from typing import Any

from psycopg import Connection

Rollup = dict[tuple[Any, ...], tuple[Any, ...]]

_STORE_MEASURES = (
    "sale_count",
    "line_count",
    "units",
    "gross_amount",
    "discount_amount",
    "tax_amount",
    "cost_amount",
    "return_count",
    "return_line_count",
    "returned_units",
    "refund_amount",
    "net_amount",
    "margin_amount",
)
_PRODUCT_MEASURES = (
    "line_count",
    "return_line_count",
    "units",
    "gross_amount",
    "discount_amount",
    "tax_amount",
    "cost_amount",
    "returned_units",
    "refund_amount",
)
_PAYMENT_MEASURES = ("payment_count", "payment_amount", "refund_count", "refund_amount")

# rollup -> columns of its key, columns of its value; both in the order that `expected_rollups` gives them
COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "daily_store_sales": (("tenant_id", "store_id", "business_date"), _STORE_MEASURES),
    "hourly_store_sales": (("tenant_id", "store_id", "business_date", "business_hour"), _STORE_MEASURES),
    "daily_customer_sales": (("tenant_id", "store_id", "customer_id", "business_date"), _STORE_MEASURES),
    "monthly_customer_sales": (("tenant_id", "store_id", "customer_id", "business_month"), _STORE_MEASURES),
    "daily_product_sales": (("tenant_id", "store_id", "product_id", "business_date"), _PRODUCT_MEASURES),
    "monthly_product_sales": (("tenant_id", "store_id", "product_id", "business_month"), _PRODUCT_MEASURES),
    "daily_payment_sales": (("tenant_id", "store_id", "method", "business_date"), _PAYMENT_MEASURES),
}

# Lines are summed per document first: a document without lines is one row, one with many is still one.
_DOCUMENTS = """
WITH sale_line AS (
    SELECT sale_id, count(*) AS line_count, sum(quantity) AS units, sum(quantity * unit_price) AS gross,
        sum(discount_amount) AS discount, sum(tax_amount) AS tax, sum(quantity * coalesce(unit_cost, 0)) AS cost
    FROM retail.sale_items GROUP BY sale_id
), return_line AS (
    SELECT sales_return_id, count(*) AS line_count, sum(quantity) AS units, sum(refund_amount) AS refund,
        sum(quantity * coalesce(unit_cost, 0)) AS cost
    FROM retail.sales_return_items GROUP BY sales_return_id
), document AS (
    SELECT s.tenant_id, s.store_id, s.customer_id,
        s.sold_at AT TIME ZONE coalesce(st.timezone, t.timezone) AS local_at,
        1 AS sale_count, coalesce(l.line_count, 0) AS line_count, coalesce(l.units, 0) AS units,
        coalesce(l.gross, 0) AS gross, coalesce(l.discount, 0) AS discount, coalesce(l.tax, 0) AS tax,
        coalesce(l.cost, 0) AS cost,
        0 AS return_count, 0 AS return_line_count, 0 AS returned_units, 0 AS refund
    FROM retail.sales s JOIN retail.stores st ON st.id = s.store_id JOIN retail.tenants t ON t.id = s.tenant_id
    LEFT JOIN sale_line l ON l.sale_id = s.id
    WHERE s.status = 'completed' AND s.deleted_at IS NULL
    UNION ALL
    SELECT r.tenant_id, r.store_id, r.customer_id,
        r.returned_at AT TIME ZONE coalesce(st.timezone, t.timezone),
        0, 0, 0, 0, 0, 0, -coalesce(l.cost, 0), 1, coalesce(l.line_count, 0), coalesce(l.units, 0), coalesce(l.refund, 0)
    FROM retail.sales_returns r JOIN retail.stores st ON st.id = r.store_id JOIN retail.tenants t ON t.id = r.tenant_id
    LEFT JOIN return_line l ON l.sales_return_id = r.id
    WHERE r.status = 'completed' AND r.deleted_at IS NULL
)
SELECT {key},
    sum(sale_count)::bigint, sum(line_count)::bigint, sum(units), sum(gross), sum(discount), sum(tax), sum(cost),
    sum(return_count)::bigint, sum(return_line_count)::bigint, sum(returned_units), sum(refund),
    sum(gross) - sum(discount) - sum(refund),
    sum(gross) - sum(discount) - sum(refund) - sum(cost)
FROM document {where} GROUP BY {key}
"""

_LINES = """
WITH line AS (
    SELECT s.tenant_id, s.store_id, i.product_id,
        s.sold_at AT TIME ZONE coalesce(st.timezone, t.timezone) AS local_at,
        1 AS line_count, 0 AS return_line_count, i.quantity AS units, i.quantity * i.unit_price AS gross,
        i.discount_amount AS discount, i.tax_amount AS tax, i.quantity * coalesce(i.unit_cost, 0) AS cost,
        0 AS returned_units, 0 AS refund
    FROM retail.sale_items i JOIN retail.sales s ON s.id = i.sale_id
    JOIN retail.stores st ON st.id = s.store_id JOIN retail.tenants t ON t.id = s.tenant_id
    WHERE s.status = 'completed' AND s.deleted_at IS NULL
    UNION ALL
    SELECT r.tenant_id, r.store_id, i.product_id,
        r.returned_at AT TIME ZONE coalesce(st.timezone, t.timezone),
        0, 1, 0, 0, 0, 0, -i.quantity * coalesce(i.unit_cost, 0), i.quantity, i.refund_amount
    FROM retail.sales_return_items i JOIN retail.sales_returns r ON r.id = i.sales_return_id
    JOIN retail.stores st ON st.id = r.store_id JOIN retail.tenants t ON t.id = r.tenant_id
    WHERE r.status = 'completed' AND r.deleted_at IS NULL
)
SELECT {key},
    sum(line_count)::bigint, sum(return_line_count)::bigint, sum(units), sum(gross), sum(discount), sum(tax), sum(cost),
    sum(returned_units), sum(refund)
FROM line GROUP BY {key}
"""

_PAYMENTS = """
WITH payment AS (
    SELECT s.tenant_id, s.store_id, p.method,
        s.sold_at AT TIME ZONE coalesce(st.timezone, t.timezone) AS local_at,
        1 AS payment_count, p.amount AS payment_amount, 0 AS refund_count, 0 AS refund_amount
    FROM retail.payments p JOIN retail.sales s ON s.id = p.sale_id
    JOIN retail.stores st ON st.id = s.store_id JOIN retail.tenants t ON t.id = s.tenant_id
    WHERE s.status = 'completed' AND s.deleted_at IS NULL
    UNION ALL
    SELECT r.tenant_id, r.store_id, p.method,
        r.returned_at AT TIME ZONE coalesce(st.timezone, t.timezone),
        0, 0, 1, p.amount
    FROM retail.payments p JOIN retail.sales_returns r ON r.id = p.sales_return_id
    JOIN retail.stores st ON st.id = r.store_id JOIN retail.tenants t ON t.id = r.tenant_id
    WHERE r.status = 'completed' AND r.deleted_at IS NULL
)
SELECT {key},
    sum(payment_count)::bigint, sum(payment_amount), sum(refund_count)::bigint, sum(refund_amount)
FROM payment GROUP BY {key}
"""

_DATE = "local_at::date"
_MONTH = "date_trunc('month', local_at)::date"
_QUERIES = {
    "daily_store_sales": _DOCUMENTS.format(key=f"tenant_id, store_id, {_DATE}", where=""),
    "hourly_store_sales": _DOCUMENTS.format(
        key=f"tenant_id, store_id, {_DATE}, extract(hour FROM local_at)::integer", where=""
    ),
    "daily_customer_sales": _DOCUMENTS.format(
        key=f"tenant_id, store_id, customer_id, {_DATE}", where="WHERE customer_id IS NOT NULL"
    ),
    "monthly_customer_sales": _DOCUMENTS.format(
        key=f"tenant_id, store_id, customer_id, {_MONTH}", where="WHERE customer_id IS NOT NULL"
    ),
    "daily_product_sales": _LINES.format(key=f"tenant_id, store_id, product_id, {_DATE}"),
    "monthly_product_sales": _LINES.format(key=f"tenant_id, store_id, product_id, {_MONTH}"),
    "daily_payment_sales": _PAYMENTS.format(key=f"tenant_id, store_id, method, {_DATE}"),
}


def expected_rollups(connection: Connection[Any], *, schema: str = "retail") -> dict[str, Rollup]:
    """Every rollup as key -> values, columns as in `COLUMNS`; in one snapshot when the caller's transaction has one."""
    return {name: expected_rollup(connection, name, schema=schema) for name in _QUERIES}


def expected_rollup(connection: Connection[Any], name: str, *, schema: str = "retail") -> Rollup:
    """One rollup as key -> values, columns as in `COLUMNS[name]`; from a schema with tables (or views) like retail's."""
    width = len(COLUMNS[name][0])
    rows = connection.execute(_QUERIES[name].replace("retail.", f"{schema}.").encode())
    return {tuple(row[:width]): tuple(row[width:]) for row in rows}


def differences(expected: Rollup, actual: Rollup) -> dict[tuple[Any, ...], tuple[Any, Any]]:
    """Rows that differ, as key -> (expected, actual); None for a row that is not there. Numbers compare by value."""
    return {
        key: (expected.get(key), actual.get(key))
        for key in expected.keys() | actual.keys()
        if expected.get(key) != actual.get(key)
    }
