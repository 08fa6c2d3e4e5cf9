"""Build reports, in whichever process; and split memory and connection budgets between caches and readers."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from dashboard_api.filters import Filter, Format
from dashboard_api.rendered_report import RenderedReport
from dashboard_api.report_process.admission import FairQueue
from dashboard_api.reports import REPORTS, Figures, Part
from dashboard_api.reports.figures import read_figures
from dashboard_api.reports.figures_cache import FiguresCache
from dashboard_api.serialization import render_csv, render_json
from dbconnect import PoolShare, ReadRouter, RouterState, Settings

# Connections left to the data version monitor and to credentials.
_OTHER_READERS = 2
# Figures take less memory than the reports made of them, and are needed for a shorter time.
_FIGURES_FRACTION = 0.25


def report_cache_bytes(settings: Settings) -> int:
    """Return the memory budget of the cache of rendered reports."""
    return int(settings.dashboard_cache_mb * 1024 * 1024 * (1 - _FIGURES_FRACTION))


def figures_cache_bytes(settings: Settings) -> int:
    """Return the memory budget of the cache of figures."""
    return int(settings.dashboard_cache_mb * 1024 * 1024 * _FIGURES_FRACTION)


def max_concurrent_reads(settings: Settings, share: PoolShare) -> int:
    """Return how many reports may be read at a time.

    Where the monitor and credentials read over the same connections, for which they wait only briefly, some are left to them.
    """
    connections = share.of(settings.dashboard_pool_size) * (1 + len(settings.dashboard_replicas))
    return connections if share is PoolShare.GREATER else connections - min(_OTHER_READERS, connections // 3)


class ReportRequest(NamedTuple):
    """A report to build.

    Attributes:
        tenant_key: of the verified caller's tenant.
        report: its name.
        filters: the report's own kind of filter.
        content_format: JSON or CSV.
        version: when the tenant's figures last changed, as far as is known; the report will be at least as new.
    """

    tenant_key: int
    report: str
    filters: Filter
    content_format: Format
    version: datetime


class BuiltReport(NamedTuple):
    """A report and what building it took.

    Attributes:
        rendered: the finished report.
        is_read: whether the database was read; otherwise the figures were cached by a report over the same dates and stores.
        seconds: duration, waiting for a slot included.
    """

    rendered: RenderedReport
    is_read: bool
    seconds: float


class BuilderState(NamedTuple):
    """A builder's state, for metrics.

    Attributes:
        waiting: requests that wait for a slot to read.
        router: the state of the builder's own router; None: it shares the router of the serving process.
    """

    waiting: int
    router: RouterState | None


class LocalReportBuilder:
    """Build reports in this process, over a router that others may use too.

    Args:
        router: must be open when the first report is built.
        settings: how long a request waits for a slot.
        concurrent_reads: how many requests read at a time.
        figures_bytes: memory budget of the figures cache.
    """

    def __init__(self, router: ReadRouter, settings: Settings, *, concurrent_reads: int, figures_bytes: int) -> None:
        self.figures = FiguresCache(figures_bytes)
        self._router = router
        self._queue = FairQueue(concurrent_reads, settings.dashboard_queue_seconds)

    async def open(self) -> None:
        """Do nothing: there is nothing to prepare."""

    async def close(self) -> None:
        """Do nothing: there is nothing to stop."""

    async def build(self, request: ReportRequest) -> BuiltReport:
        """Build a report.

        Raises:
            ProblemError: the request can't be served.
            SalespulseError: no database server is available.
            psycopg.Error: a server failed, or took too long.
        """
        started_at = time.perf_counter()
        report, is_read = REPORTS[request.report], False

        async def read(previous: Figures | None, other_parts: Sequence[Part]) -> Figures:
            nonlocal is_read
            is_read = True
            async with self._queue.slot(request.tenant_key):
                return await read_figures(
                    lambda statements: self._router.ask(statements, tenant_key=request.tenant_key),
                    request.tenant_key,
                    request.filters,
                    lambda period: (*report.parts(period, request.filters), *other_parts),
                    previous,
                )

        figures = await self.figures.get(request.tenant_key, request.version, report, request.filters, read)
        document = report.build(figures, request.filters)
        is_csv = request.content_format is Format.CSV
        content = render_csv(report.columns, document[report.rows]) if is_csv else render_json(document)
        rendered = RenderedReport(
            report.name, content, request.content_format, as_of=figures.as_of, changed_at=figures.changed_at
        )
        return BuiltReport(rendered, is_read, time.perf_counter() - started_at)

    def state(self) -> BuilderState:
        """Return the builder's state."""
        return BuilderState(self._queue.waiting, None)
