"""The shared parts of one app, and how it serves a report with them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from dashboard_api.auth import Authenticator, Caller
from dashboard_api.cache import ReportCache
from dashboard_api.data_version import DataVersionMonitor
from dashboard_api.errors import NotReadyError
from dashboard_api.filters import Format
from dashboard_api.jobs.services import JobServices
from dashboard_api.metrics import ApiMetrics, StateSnapshot
from dashboard_api.middleware.rate_limiting import ApiRateLimiter
from dashboard_api.rendered_report import RenderedReport
from dashboard_api.reports.builder import ReportBuilder
from dashboard_api.reports.figures import FilterT, Report
from dbconnect import ReadRouter, Settings


@dataclass(frozen=True)
class Services:
    """The parts of one app."""

    settings: Settings
    router: ReadRouter
    data_version: DataVersionMonitor
    cache: ReportCache
    builder: ReportBuilder
    authenticator: Authenticator
    rate_limiter: ApiRateLimiter
    metrics: ApiMetrics
    jobs: JobServices

    async def respond(self, request: Request, caller: Caller, report: Report[FilterT], filters: FilterT) -> Response:
        """Return a report: from the cache where nothing of the tenant's has changed since, otherwise from the rollups.

        Raises:
            ProblemError: the request can't be served.
            SalespulseError: no database server is available.
        """
        if self.data_version.freshness is None:
            raise NotReadyError("the figures are being prepared: no refresh has finished yet", retry_after_s=5)
        content_format = filters.format or _accepted_format(request)
        key = (caller.tenant_key, (report.name, content_format, filters.cache_key))
        version = self.data_version.version(caller.tenant_key)

        async def build(at_least: datetime) -> RenderedReport:
            return await self.builder.build(caller.tenant_key, report, filters, content_format, at_least)

        rendered = await self.cache.get(key, version, build)
        return rendered.respond(request, self.data_version.freshness_of(rendered, caller.tenant_key))

    def snapshot(self) -> StateSnapshot:
        """Return the state of caches, queue and database connections, for metrics."""
        return StateSnapshot(
            self.data_version.freshness,
            self.cache.size_bytes,
            len(self.cache),
            self.builder.waiting,
            self.router.state(),
        )

    def dependencies(self) -> dict[str, Any]:
        """Return the dependencies' states for `/readyz`: no addresses, no error messages."""
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


def _accepted_format(request: Request) -> Format:
    accept = request.headers.get("accept", "")
    return Format.CSV if "text/csv" in accept and "application/json" not in accept else Format.JSON


def get_services(request: Request) -> Services:
    """Return the parts of the app that serves a request."""
    services: Services = request.app.state.services
    return services
