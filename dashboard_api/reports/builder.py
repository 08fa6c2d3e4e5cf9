"""Build reports that are not cached; and split memory and connection budgets between caches and readers."""

import time
from collections.abc import Sequence
from datetime import datetime

from dashboard_api.filters import Format
from dashboard_api.metrics import ApiMetrics
from dashboard_api.rendered_report import RenderedReport
from dashboard_api.reports.admission import FairQueue
from dashboard_api.reports.figures import Figures, FilterT, Part, Report, read_figures
from dashboard_api.reports.figures_cache import FiguresCache
from dashboard_api.serialization import render_csv, render_json
from dbconnect import ReadRouter, Settings

# Connections left to the data version monitor and to credentials.
_OTHER_READERS = 2
# Figures take less memory than the reports made of them, and are needed for a shorter time.
_FIGURES_FRACTION = 0.25


def report_cache_bytes(settings: Settings) -> int:
    """Return the memory budget of the cache of rendered reports."""
    return int(_cache_bytes(settings) * (1 - _FIGURES_FRACTION))


def max_concurrent_reads(settings: Settings) -> int:
    """Return how many reports may be read at a time: some connections are left to those who wait for one only briefly."""
    connections = settings.dashboard_pool_size * (1 + len(settings.dashboard_replicas))
    return connections - min(_OTHER_READERS, connections // 3)


class ReportBuilder:
    """Build reports over a router that others may use too.

    Args:
        router: must be open when the first report is built.
        settings: how many requests read at a time, how long one waits for its turn, and how much memory figures may take.
        metrics: count what is built.
    """

    def __init__(self, router: ReadRouter, settings: Settings, metrics: ApiMetrics) -> None:
        self.figures = FiguresCache(int(_cache_bytes(settings) * _FIGURES_FRACTION))
        self._metrics = metrics
        self._router = router
        self._queue = FairQueue(max_concurrent_reads(settings), settings.dashboard_queue_seconds)

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn to read. Any thread may read it."""
        return self._queue.waiting

    async def build(
        self,
        tenant_key: int,
        report: Report[FilterT],
        filters: FilterT,
        content_format: Format,
        version: datetime,
    ) -> RenderedReport:
        """Build a report.

        Args:
            tenant_key: of the verified caller's tenant.
            report: the report.
            filters: the report's own kind of filter.
            content_format: JSON or CSV.
            version: when the tenant's figures last changed, as far as is known; the report will be at least as new.

        Raises:
            ProblemError: the request can't be served.
            SalespulseError: no database server is available.
            psycopg.Error: a server failed, or took too long.
        """
        started_at, is_read = time.perf_counter(), False

        async def read(previous: Figures | None, other_parts: Sequence[Part]) -> Figures:
            nonlocal is_read
            is_read = True
            async with self._queue.slot(tenant_key):
                return await read_figures(
                    lambda statements: self._router.ask(statements, tenant_key=tenant_key),
                    tenant_key,
                    filters,
                    lambda period: (*report.parts(period, filters), *other_parts),
                    previous,
                )

        figures = await self.figures.get(tenant_key, version, report, filters, read)
        document = report.build(figures, filters)
        is_csv = content_format is Format.CSV
        content = render_csv(report.columns, document[report.rows]) if is_csv else render_json(document)
        rendered = RenderedReport(
            report.name, content, content_format, as_of=figures.as_of, changed_at=figures.changed_at
        )
        if is_read:
            self._metrics.report_reads.labels(report.name).inc()
        self._metrics.report_seconds.labels(report.name).observe(time.perf_counter() - started_at)
        return rendered


def _cache_bytes(settings: Settings) -> float:
    return settings.dashboard_cache_mb * 1024 * 1024
