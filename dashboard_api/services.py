"""What every request handler needs, made once per app."""

import time
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from connect import Read, ReadRouter, Settings
from connect.routes import AsyncConnection
from dashboard_api.answers import Answer, render_csv, render_json
from dashboard_api.auth import Authenticator, Caller
from dashboard_api.cache import AnswerCache
from dashboard_api.collector import Reading
from dashboard_api.errors import NotReadyError
from dashboard_api.filters import Format
from dashboard_api.jobs.face import JobFace
from dashboard_api.metrics import Metrics
from dashboard_api.reports import Reader, Report, open_reader
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

        async def make() -> Answer:
            async with self.turns.turn(caller.tenant_key):
                return await self._make(caller.tenant_key, report, asked, answer_format)

        answer = await self.cache.get((caller.tenant_key, question), self.watch.version(caller.tenant_key), make)
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

    async def _make(self, tenant_key: int, report: Report[FilterT], asked: FilterT, answer_format: Format) -> Answer:
        started = time.perf_counter()

        async def read(opened: Read[AsyncConnection]) -> tuple[Reader, dict[str, Any]]:
            reader = await open_reader(opened.connection, tenant_key, asked)
            async with opened.connection.pipeline():
                return reader, await report.build(reader, asked)

        reader, document = await self.router.run(read, tenant_key=tenant_key)
        content = (
            render_csv(report.columns, document[report.rows]) if answer_format is Format.CSV else render_json(document)
        )
        self.metrics.query_seconds.labels(report.name).observe(time.perf_counter() - started)
        return Answer(report.name, content, answer_format, as_of=reader.as_of, changed_at=reader.changed_at)


def _wanted_format(request: Request) -> Format:
    accept = request.headers.get("accept", "")
    return Format.CSV if "text/csv" in accept and "application/json" not in accept else Format.JSON


def services_of(request: Request) -> Services:
    """The parts of the app that serves a request."""
    services: Services = request.app.state.services
    return services
