"""What every request handler needs, made once per app."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from dashboard_api.answers import Answer
from dashboard_api.auth import Authenticator, Caller
from dashboard_api.cache import AnswerCache
from dashboard_api.collector import Reading
from dashboard_api.errors import NotReadyError
from dashboard_api.filters import Format
from dashboard_api.jobs.face import JobFace
from dashboard_api.making import Maker, Wanted
from dashboard_api.metrics import Metrics
from dashboard_api.reports import Report
from dashboard_api.reports.report import FilterT
from dashboard_api.throttle import Throttle
from dashboard_api.versions import VersionWatch
from dbconnect import ReadRouter, Settings


@dataclass(frozen=True)
class Services:
    """The parts of one app."""

    settings: Settings
    router: ReadRouter
    watch: VersionWatch
    cache: AnswerCache
    maker: Maker
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

        async def make(at_least: datetime) -> Answer:
            return await self._make(Wanted(caller.tenant_key, report.name, asked, answer_format, at_least))

        answer = await self.cache.get((caller.tenant_key, question), version, make)
        return answer.respond(request, self.watch.freshness_of(answer, caller.tenant_key))

    def reading(self) -> Reading:
        """The state of everything that answers depend on, for metrics."""
        router, maker = self.router.state(), self.maker.state()
        return Reading(
            self.watch.freshness,
            self.cache.size_bytes,
            len(self.cache),
            maker.waiting,
            router if maker.router is None else router.plus(maker.router),
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

    async def _make(self, wanted: Wanted) -> Answer:
        made = await self.maker.make(wanted)
        if made.is_read:
            self.metrics.report_reads.labels(wanted.report).inc()
        self.metrics.query_seconds.labels(wanted.report).observe(made.seconds)
        return made.answer


def _wanted_format(request: Request) -> Format:
    accept = request.headers.get("accept", "")
    return Format.CSV if "text/csv" in accept and "application/json" not in accept else Format.JSON


def services_of(request: Request) -> Services:
    """The parts of the app that serves a request."""
    services: Services = request.app.state.services
    return services
