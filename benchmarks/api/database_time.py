"""Compare database time of one dashboard from the rollups and on demand from the sales tables, on the same standby."""

import asyncio
import itertools
import statistics
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import psycopg
from psycopg.rows import dict_row

from benchmarks.api.on_demand import DASHBOARD, RETURNS, SALES, SUMMARY
from benchmarks.refresh.dataset import DAYS, LAST_DAY, LINES_PER_SALE, SEED, size_label
from benchmarks.refresh.environment import Environment, environment, running_pair
from benchmarks.report import Report, figure
from dashboard_api.filters import Filter
from dashboard_api.period import Period
from dashboard_api.reports import OVERVIEW, SALES_SUMMARY, resolve_scope, scope_statement
from dashboard_api.reports import Report as ReportKind
from dbconnect import Statement
from pipelines.refresh import refresh
from sample_app.synthetic import generate

_DAYS = (30, 365)
_PARTS = {"overview": (OVERVIEW, DASHBOARD), "sales-summary": (SALES_SUMMARY, SUMMARY)}
_BOUND = 100
_Connection = psycopg.AsyncConnection[dict[str, Any]]


def measure_database_time(report: Report, sizes: Sequence[int], *, rounds: int) -> None:
    """Measure one tenant that has all the lines, at each size."""
    ratios: dict[tuple[str, int], list[float]] = {}
    with running_pair() as pair:
        for lines in sizes:
            with environment(pair, f"bench_api_{lines}") as bench:
                generate(
                    bench.application,
                    tenants=1,
                    sales=round(lines / LINES_PER_SALE),
                    days=DAYS,
                    seed=SEED,
                    check_keys=False,
                )
                bench.settle()
                refresh(bench.connections, bench.options)
                bench.settle()
                times_by_part = asyncio.run(_measure(bench, rounds))
            for (name, days), (rollups, sales) in times_by_part.items():
                at = f"{name} of {days} days, one tenant of {size_label(lines)}"
                ratio = [slow / quick for slow, quick in zip(sales, rollups, strict=True)]
                bound = _BOUND if lines >= 500_000 else None
                report.add(
                    figure(f"database time, {at}: from the rollups", rollups, "ms"),
                    figure(f"database time, {at}: on demand", sales, "ms"),
                    figure(f"database time, {at}: on demand / rollups", ratio, "x", bound=bound, better="higher"),
                )
                ratios.setdefault((name, days), []).append(statistics.median(ratio))
    for (name, days), grown in ratios.items():
        for (small, large), (before, after) in zip(itertools.pairwise(sizes), itertools.pairwise(grown), strict=True):
            report.add(
                figure(
                    f"growth of that ratio, {name} of {days} days, {size_label(large)} / {size_label(small)}",
                    [after / before],
                    "x",
                    bound=1,
                    better="higher",
                )
            )


async def _measure(bench: Environment, rounds: int) -> dict[tuple[str, int], tuple[list[float], list[float]]]:
    times_by_part: dict[tuple[str, int], tuple[list[float], list[float]]] = {}
    url = bench.url("postgres", standby=True)
    connect = psycopg.AsyncConnection[dict[str, Any]].connect
    async with await connect(url, autocommit=True, prepare_threshold=None, row_factory=dict_row) as connection:
        tenant = await (await connection.execute("SELECT tenant_key, tenant_id FROM salespulse.dim_tenant")).fetchone()
        assert tenant is not None
        for (name, (report_kind, statements)), days in itertools.product(_PARTS.items(), _DAYS):
            filters = Filter.model_validate({"from": LAST_DAY - timedelta(days=days - 1), "to": LAST_DAY})
            times: tuple[list[float], list[float]] = ([], [])
            # The first round only fills the caches.
            for number in range(rounds + 1):
                rollups = await _from_rollups(connection, tenant["tenant_key"], report_kind, filters)
                sales = await _on_demand(connection, tenant["tenant_id"], statements, filters)
                if number:
                    times[0].append(rollups)
                    times[1].append(sales)
            await _check_equal(connection, tenant, filters)
            times_by_part[name, days] = times
    return times_by_part


async def _from_rollups(
    connection: _Connection, tenant_key: int, report_kind: ReportKind[Filter], filters: Filter
) -> float:
    """Return the database time of the API's own statements, run as its role and explained."""
    explained = _Explained(connection)
    async with connection.transaction():
        await connection.execute("SET LOCAL ROLE salespulse_dashboard")
        await connection.execute("SELECT set_config('salespulse.tenant_key', %s, true)", [str(tenant_key)])
        await _document(cast("_Connection", explained), tenant_key, report_kind, filters)
    return explained.ms


async def _document(
    connection: _Connection, tenant_key: int, report_kind: ReportKind[Filter], filters: Filter
) -> dict[str, Any]:
    async def ask(statement: Statement) -> list[dict[str, Any]]:
        return await (await connection.execute(*statement)).fetchall()

    figures = resolve_scope(tenant_key, filters, await ask(scope_statement(tenant_key, filters)))
    parts = report_kind.parts(figures.period, filters)
    figures.add_rows(parts, [await ask(statement) for statement in figures.statements(parts)])
    return report_kind.build(figures, filters)


async def _on_demand(connection: _Connection, tenant_id: str, statements: Sequence[str], filters: Filter) -> float:
    explained = _Explained(connection)
    for statement in statements:
        await explained.explain(statement, _parameters(tenant_id, filters))
    return explained.ms


class _Explained:
    """Stands for a connection: gives the rows, and adds up what the server says that planning and executing took."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self.ms = 0.0

    async def execute(self, statement: str, parameters: Mapping[str, Any]) -> psycopg.AsyncCursor[dict[str, Any]]:
        await self.explain(statement, parameters)
        return await self._connection.execute(statement.encode(), parameters)

    async def explain(self, statement: str, parameters: Mapping[str, Any]) -> None:
        explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}"
        row = await (await self._connection.execute(explain.encode(), parameters)).fetchone()
        assert row is not None
        (plan,) = row["QUERY PLAN"]
        self.ms += plan["Planning Time"] + plan["Execution Time"]


async def _check_equal(connection: _Connection, tenant: dict[str, Any], filters: Filter) -> None:
    """Both ways give the same figures: else there would be nothing to compare."""
    parameters = _parameters(tenant["tenant_id"], filters)
    sales_rows = [
        row for row in await (await connection.execute(SALES.encode(), parameters)).fetchall() if row["is_current"]
    ]
    back = [
        row for row in await (await connection.execute(RETURNS.encode(), parameters)).fetchall() if row["is_current"]
    ]
    async with connection.transaction():
        await connection.execute("SELECT set_config('salespulse.tenant_key', %s, true)", [str(tenant["tenant_key"])])
        document = await _document(connection, tenant["tenant_key"], SALES_SUMMARY, filters)
    net = (
        sales_rows[0]["gross_amount"]
        - sales_rows[0]["discount_amount"]
        - sum((row["refund_amount"] for row in back), Decimal(0))
    )
    totals = document["totals"]
    assert (sales_rows[0]["sale_count"], net) == (totals["sale_count"], totals["net_amount"]), (
        sales_rows,
        back,
        totals,
    )


def _parameters(tenant_id: str, filters: Filter) -> dict[str, Any]:
    assert filters.from_date is not None
    assert filters.to_date is not None
    period = Period(filters.from_date, filters.to_date)
    return {
        "tenant_id": tenant_id,
        "from_date": period.first,
        "to_date": period.last,
        "previous_from": period.previous.first,
    }
