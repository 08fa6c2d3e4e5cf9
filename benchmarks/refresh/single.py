"""Measure a crowded bucket, an idle poll, verification and the backfill's rate."""

import time
from datetime import timedelta

from benchmarks.refresh.dataset import LAST_DAY, Dataset
from benchmarks.refresh.environment import Environment, value
from benchmarks.report import Figure, Report, figure
from pipelines.refresh import refresh
from pipelines.refresh.observe import observe_source
from pipelines.verification.verify import verify

_BUCKET_SALES = 20_000

# All in one store, on one day, of one product: one bucket of every rollup but the hourly and the customers'.
_CROWD = """
WITH place AS (
    SELECT s.tenant_id, s.id AS store_id, p.id AS product_id
    FROM retail.stores AS s
    INNER JOIN retail.products AS p ON s.tenant_id = p.tenant_id
    ORDER BY s.id, p.id
    LIMIT 1
),

sale AS (
    INSERT INTO retail.sales (tenant_id, store_id, receipt_number, sold_at)
    SELECT tenant_id, store_id, 'crowd ' || n, timestamptz '2025-06-15 12:00+00' + make_interval(secs => n * 0.1)
    FROM place CROSS JOIN generate_series(1, %s) AS n
    RETURNING id
),

item AS (
    INSERT INTO retail.sale_items (sale_id, product_id, quantity, unit_price, unit_cost)
    SELECT sale.id, place.product_id, 1, 9.99, 5
    FROM sale CROSS JOIN place
)

INSERT INTO retail.payments (sale_id, method, amount)
SELECT id, 'card', 9.99 FROM sale
"""


def measure_backfill(report: Report, data: Dataset) -> None:
    """The first refresh: replica to rollups, dimensions included."""
    lines = data.backfill.applied.lines
    report.add(
        Figure(
            f"backfill at {data.label}",
            lines / data.backfill_s,
            "lines/s",
            bound=60_000 if data.lines >= 10**6 else None,
            better="higher",
            note=f"{lines:,} lines in {data.backfill_s:.1f} s",
        )
    )


def measure_bucket(report: Report, data: Dataset, *, rounds: int) -> None:
    """Ten new sales where 20,000 are already in the same bucket."""
    environment = data.environment
    _crowd(environment, _BUCKET_SALES)
    refresh(environment.connections, environment.options)
    times_ms = []
    for _ in range(rounds):
        _crowd(environment, 10)
        started = time.perf_counter()
        result = refresh(environment.connections, environment.options)
        times_ms.append((time.perf_counter() - started) * 1000)
        assert result.applied.documents == 10
    report.add(figure(f"ten new sales in a bucket of 20,000 at {data.label}", times_ms, "ms", bound=40))


def measure_idle(report: Report, data: Dataset, *, rounds: int) -> None:
    """Nothing pending: what a tick of the sensor asks, and a refresh all the same."""
    connections, options = data.environment.connections, data.environment.options
    refresh(connections, options)
    polls_ms, refreshed = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        observation = observe_source(connections)
        polls_ms.append((time.perf_counter() - started) * 1000)
        assert not observation.is_pending, "a run would be started"
        started = time.perf_counter()
        refresh(connections, options)
        refreshed.append((time.perf_counter() - started) * 1000)
    report.add(
        figure(
            f"nothing pending: the sensor's look at {data.label}", polls_ms, "ms", bound=10, note="no run is started"
        ),
        figure(f"nothing pending: a refresh all the same at {data.label}", refreshed, "ms", bound=10),
    )


def measure_verification(report: Report, data: Dataset, *, rounds: int) -> None:
    """The last 30 days, as many days as hold what 30 days hold at 10^6 sales, and everything."""
    # Where the set has fewer than 10^6 sales, more days make up for it: the cost follows the sales compared.
    days = min(400, round(30 * max(1.0, 10**6 / data.counts.sales)))
    for span in dict.fromkeys((30, days)):
        times_s, documents = [], 0
        for _ in range(rounds):
            seconds, documents = _verify(data, span)
            times_s.append(seconds)
        bound = 2.0 if span == days and days < 400 else None
        note = f"{documents:,} sales and returns" + (", as 30 days at 10^6 sales" if span == days != 30 else "")
        report.add(figure(f"verification of {span} days at {data.label}", times_s, "s", bound=bound, note=note))
    seconds, documents = _verify(data, None)
    report.add(
        Figure(f"verification of everything at {data.label}", seconds, "s", note=f"{documents:,} sales and returns")
    )


def _verify(data: Dataset, days: int | None) -> tuple[float, int]:
    from_date = None if days is None else LAST_DAY - timedelta(days=days - 1)
    started = time.perf_counter()
    report = verify(data.environment.connections, data.environment.options, from_date=from_date)
    elapsed = time.perf_counter() - started
    assert report.is_exact, report
    return elapsed, report.documents


def _crowd(environment: Environment, sales: int) -> None:
    environment.application.execute(_CROWD, [sales])
    environment.wait_for_replay()
    assert value(environment.application, "SELECT count(*) FROM retail.sales WHERE receipt_number = 'crowd 1'")
