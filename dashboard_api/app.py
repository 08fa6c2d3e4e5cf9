"""The app factory: settings to parts, parts to routes and middleware."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from dashboard_api import routes, static_files
from dashboard_api.auth import Authenticator, TokenVerifier
from dashboard_api.cache import ReportCache
from dashboard_api.data_version import DataVersionMonitor
from dashboard_api.jobs import inbound_hooks
from dashboard_api.jobs import routes as job_routes
from dashboard_api.jobs.services import make_job_services
from dashboard_api.metrics import ApiMetrics, StateCollector
from dashboard_api.middleware.authentication import AuthenticationMiddleware, rate_limit_tenant, rate_limit_user
from dashboard_api.middleware.fast_path import DirectRoute, FastPathMiddleware
from dashboard_api.middleware.rate_limiting import EXEMPT_PATHS, POLICY, ApiRateLimiter
from dashboard_api.middleware.request_context import RequestContextMiddleware
from dashboard_api.middleware.security_headers import SecurityHeadersMiddleware
from dashboard_api.problems import add_error_handlers
from dashboard_api.reports.builder import ReportBuilder, max_concurrent_reads, report_cache_bytes
from dashboard_api.services import Services
from dbconnect import ReadRouter, Settings, load_settings
from ratelimit_service.http import RateLimitMiddleware

# With a thousand users each round trip to the database takes as long as responding to all who are ready: few renewals at a time would not
# keep up. More than can be read at a time would only delay requests.
_RENEWALS_MAX = 8
_DESCRIPTION = """
Pre-computed sales figures of one tenant, exact and seconds old.

* **Who**: an access token of the application, or an API key. The tenant comes from it, never from a parameter.
* **When**: every response has `as_of`, the moment that it reflects, and an `ETag` that changes only with the figures.
* **Money** is a decimal string; business dates are local to each store.
* **CSV**: `Accept: text/csv` or `?format=csv`.
* Errors are `application/problem+json`. By default 100 requests a minute per user or address.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the app. It connects to servers when it starts, not here.

    Args:
        settings: by default read from the environment.

    Raises:
        SettingsError: a setting is invalid.
        NotConfiguredError: no setting determines how tokens are verified.
    """
    settings = settings or load_settings()
    metrics = ApiMetrics()
    router = ReadRouter(settings)
    rate_limiter = ApiRateLimiter(settings)
    cache = ReportCache(report_cache_bytes(settings), metrics.cache_lookups)
    services = Services(
        settings=settings,
        router=router,
        data_version=DataVersionMonitor(
            router, on_change=cache.on_change, stale_after_s=settings.dashboard_max_staleness_seconds
        ),
        cache=cache,
        builder=ReportBuilder(router, settings, metrics),
        authenticator=Authenticator(settings, router, TokenVerifier(settings)),
        rate_limiter=rate_limiter,
        metrics=metrics,
        jobs=make_job_services(settings, metrics.registry),
    )
    metrics.registry.register(rate_limiter.limiter.metrics)
    metrics.registry.register(StateCollector(services.snapshot))
    app = FastAPI(
        title="Salespulse dashboard",
        description=_DESCRIPTION,
        version="1",
        lifespan=_lifespan,
        # Otherwise read from the environment at every request; `ApiMetrics` has the metrics.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        docs_url=None,
        redoc_url=None,
        openapi_tags=[
            {"name": "dashboard", "description": "Figures of the credential's tenant."},
            {"name": "jobs", "description": "Background jobs: submit, follow, cancel."},
            {"name": "session", "description": "The credential itself."},
            {"name": "operation", "description": "For operators; neither rate limited nor authenticated."},
        ],
    )
    app.state.services = services
    for api_router in (routes.router, job_routes.router, inbound_hooks.router):
        app.include_router(api_router)
    static_files.mount(app)
    add_error_handlers(app)
    # The middleware added last sees a request first.
    direct = [route for route in (*routes.dashboard.routes, *job_routes.jobs.routes) if isinstance(route, DirectRoute)]
    app.add_middleware(FastPathMiddleware, routes=[route for route in direct if "{" not in route.path])
    app.add_middleware(
        RateLimitMiddleware,
        limiter=rate_limiter.limiter,
        policy=POLICY,
        exempt=EXEMPT_PATHS,
        trusted=settings.trusted_proxies,
        user=rate_limit_user,
        tenant=rate_limit_tenant,
    )
    app.add_middleware(AuthenticationMiddleware, authenticator=services.authenticator)
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(RequestContextMiddleware, metrics=metrics)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    services.rate_limiter.start()
    await services.router.open()
    try:
        await services.data_version.poll()
        if services.data_version.refusal is not None:
            raise services.data_version.refusal
        renewals = min(_RENEWALS_MAX, max_concurrent_reads(services.settings))
        loops = (services.data_version.run(), *(services.cache.renew() for _ in range(renewals)))
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            async with services.jobs.running():
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await services.router.close()
        await services.rate_limiter.close()
