"""What every request handler needs, made once per app."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from connect import ReadRouter, Settings
from dashboard_api.answers import Answer, render_csv, render_json
from dashboard_api.auth import Authenticator, Caller
from dashboard_api.cache import AnswerCache
from dashboard_api.collector import Reading
from dashboard_api.errors import NotReadyError
from dashboard_api.filters import Format
from dashboard_api.jobs.face import JobFace
from dashboard_api.metrics import Metrics
from dashboard_api.readings import Readings
from dashboard_api.reports import Figures, Part, Report
from dashboard_api.reports.reading import read_figures
from dashboard_api.reports.report import FilterT
from dashboard_api.throttle import Throttle
from dashboard_api.turns import Turns
from dashboard_api.versions import VersionWatch


@dataclass(frozen=True)
class Services:
    """The parts of one app."""

    settings: Settings
    router: ReadRouter
    watch: VersionWatch
    cache: AnswerCache
    readings: Readings
    turns: Turns
    authenticator: Authenticator
    throttle: Throttle
    metrics: Metrics
    jobs: JobFace

    async def answer(self, request: Request, caller: Caller, report: Report[FilterT], asked: FilterT) -> Response:
        """Answer a report: from the cache where nothing of the tenant's has changed since, else from the rollups.

        Raises:
            ProblemError: what was asked can't be answered.
            SalespulseError: no server is to be had.
        """
        if self.watch.freshness is None:
            raise NotReadyError("the figures are being prepared: no refresh has finished yet", retry_after_s=5)
        answer_format = asked.format or _wanted_format(request)
        question = (report.name, answer_format, asked.question)
        version = self.watch.version(caller.tenant_key)

        async def make(wanted: datetime) -> Answer:
            return await self._make(caller.tenant_key, report, asked, answer_format, wanted)

        answer = await self.cache.get((caller.tenant_key, question), version, make)
        return answer.respond(request, self.watch.freshness_of(answer, caller.tenant_key))

    def reading(self) -> Reading:
        """The state of everything that answers depend on, for metrics."""
        return Reading(
            self.watch.freshness, self.cache.size_bytes, len(self.cache), self.turns.waiting, self.router.state()
        )

    def dependencies(self) -> dict[str, Any]:
        """The same for `/readyz`: states and lags; no addresses, no texts of errors. Without jobs the figures are as ready as with them."""
        servers = [
            {
                "name": server.name,
                "is_usable": server.is_usable,
                "reason": server.reason,
                "lag_s": server.lag_s,
                "lag_bytes": server.lag_bytes,
            }
            for server in self.router.state().servers
        ]
        return {"database": servers, "jobs": self.jobs.state()}

    async def _make(
        self, tenant_key: int, report: Report[FilterT], asked: FilterT, answer_format: Format, version: datetime
    ) -> Answer:
        started = time.perf_counter()

        async def read(kept: Figures | None, also: Sequence[Part]) -> Figures:
            async with self.turns.turn(tenant_key):
                self.metrics.report_reads.labels(report.name).inc()
                return await read_figures(
                    lambda statements: self.router.ask(statements, tenant_key=tenant_key),
                    tenant_key,
                    asked,
                    lambda period: (*report.parts(period, asked), *also),
                    kept,
                )

        figures = await self.readings.get(tenant_key, version, report, asked, read)
        document = report.build(figures, asked)
        content = (
            render_csv(report.columns, document[report.rows]) if answer_format is Format.CSV else render_json(document)
        )
        self.metrics.query_seconds.labels(report.name).observe(time.perf_counter() - started)
        return Answer(report.name, content, answer_format, as_of=figures.as_of, changed_at=figures.changed_at)


def _wanted_format(request: Request) -> Format:
    accept = request.headers.get("accept", "")
    return Format.CSV if "text/csv" in accept and "application/json" not in accept else Format.JSON


def services_of(request: Request) -> Services:
    """The parts of the app that serves a request."""
    services: Services = request.app.state.services
    return services
