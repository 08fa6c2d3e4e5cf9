"""The naive ways: a materialized view of product and day over the application's tables, refreshed as a whole."""

import time

from benchmarks.refresh.environment import Environment

_VIEW = """
CREATE MATERIALIZED VIEW public.bench_product_day AS
SELECT
    s.tenant_id,
    s.store_id,
    (s.sold_at AT TIME ZONE coalesce(o.timezone, t.timezone))::date AS business_date,
    coalesce(i.product_id, '') AS product_id,
    count(*) AS line_count,
    sum(i.quantity) AS units,
    sum(i.quantity * i.unit_price) AS gross_amount,
    sum(i.discount_amount) AS discount_amount,
    sum(i.tax_amount) AS tax_amount,
    sum(i.quantity * coalesce(i.unit_cost, 0)) AS cost_amount
FROM retail.sales AS s
INNER JOIN retail.sale_items AS i ON s.id = i.sale_id
INNER JOIN retail.stores AS o ON s.store_id = o.id
INNER JOIN retail.tenants AS t ON s.tenant_id = t.id
WHERE s.status = 'completed' AND s.deleted_at IS NULL
GROUP BY 1, 2, 3, 4
"""


class MaterializedView:
    """A materialized view with the unique index that CONCURRENTLY asks for."""

    def __init__(self, environment: Environment) -> None:
        self._connection = environment.application
        self._connection.execute(_VIEW)
        self._connection.execute(
            "CREATE UNIQUE INDEX ON public.bench_product_day (tenant_id, business_date, product_id, store_id)"
        )
        self._connection.execute("ANALYZE public.bench_product_day")
        # What an operator would give such a statement.
        self._connection.execute("SELECT set_config('work_mem', '256MB', false)")

    def refresh_concurrently_s(self) -> float:
        """Refresh while readers go on, comparing new rows with old ones; return the seconds."""
        return self._timed("REFRESH MATERIALIZED VIEW CONCURRENTLY public.bench_product_day")

    def recompute_s(self) -> float:
        """Rewrite the view while readers wait; return the seconds."""
        return self._timed("REFRESH MATERIALIZED VIEW public.bench_product_day")

    def _timed(self, statement: str) -> float:
        started = time.perf_counter()
        self._connection.execute(statement.encode())
        return time.perf_counter() - started
