"""The app factory: wires settings to parts to routes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from dashboard_api import health, page, routes
from dashboard_api.auth import Authenticator, TokenVerifier
from dashboard_api.cache import AnswerCache
from dashboard_api.collector import StateCollector
from dashboard_api.credentials import Credentials, tenant_of, user_of
from dashboard_api.jobs import hooks
from dashboard_api.jobs import routes as job_routes
from dashboard_api.jobs.face import make_job_face
from dashboard_api.jobs.handlers import add_job_handlers
from dashboard_api.jobs.job_route import JobRoute
from dashboard_api.making import LocalMaker, RemoteMaker
from dashboard_api.metrics import Metrics
from dashboard_api.problems import add_handlers
from dashboard_api.report_route import ReportRoute, Shortcut
from dashboard_api.request_context import RequestContext
from dashboard_api.security_headers import SecurityHeaders
from dashboard_api.services import Services
from dashboard_api.sizes import answers_bytes, readers, readings_bytes
from dashboard_api.throttle import EXEMPT, POLICY, Throttle
from dashboard_api.versions import VersionWatch
from dbconnect import ReadRouter, Settings, Share, load_settings
from ratelimit_service.http import RateLimitMiddleware

# While a thousand ask, each round trip to the database lasts as long as answering all who are ready: few at a time would not keep up.
# More than can be read at a time would only stand in the way of who asks.
_RENEWERS = 8
_DESCRIPTION = """
Pre-computed sales figures of one tenant, exact and seconds old.

* **Who**: a bearer token of the application, or an API key. The tenant comes from it, never from a parameter.
* **When**: every answer says `as_of`, the moment that it reflects, and carries an `ETag` that changes only with the figures.
* **Money** is a decimal string; business dates are local to each store.
* **CSV**: `Accept: text/csv` or `?format=csv`.
* Refusals are `application/problem+json`; 100 requests a minute per user or address unless told otherwise.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app. Servers are reached for when it starts up, not here.

    Args:
        settings: read from the environment unless given.

    Raises:
        SettingsError: a setting can't be used.
        NotConfiguredError: nothing says how tokens are verified.
    """
    settings = settings or load_settings()
    metrics = Metrics()
    share = Share.LESSER if settings.has_maker else Share.WHOLE
    router = ReadRouter(settings, share=share)
    throttle = Throttle(settings)
    cache = AnswerCache(answers_bytes(settings), metrics.cache_lookups)
    local = LocalMaker(router, settings, readers=readers(settings, share), readings_bytes=readings_bytes(settings))
    services = Services(
        settings=settings,
        router=router,
        watch=VersionWatch(router, on_change=cache.tell, stale_after_s=settings.dashboard_max_staleness_seconds),
        cache=cache,
        maker=RemoteMaker(settings, local) if settings.has_maker else local,
        authenticator=Authenticator(settings, router, TokenVerifier(settings)),
        throttle=throttle,
        metrics=metrics,
        jobs=make_job_face(settings, metrics.registry),
    )
    metrics.registry.register(throttle.limiter.metrics)
    metrics.registry.register(StateCollector(services.reading))
    app = FastAPI(
        title="Salespulse dashboard",
        description=_DESCRIPTION,
        version="1",
        lifespan=_lifespan,
        # Asked of the environment at every request otherwise; the metrics are `Metrics`' matter.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        docs_url=None,
        redoc_url=None,
        openapi_tags=[
            {"name": "dashboard", "description": "Figures of the credential's tenant."},
            {"name": "jobs", "description": "Work in the background: asked for, followed, cancelled."},
            {"name": "session", "description": "The credential itself."},
            {"name": "operation", "description": "For operators; neither throttled nor behind a credential."},
        ],
    )
    app.state.services = services
    app.include_router(routes.router)
    app.include_router(job_routes.router)
    app.include_router(hooks.router)
    app.include_router(health.router)
    page.mount(app)
    add_handlers(app)
    add_job_handlers(app)
    # The last added sees a request first.
    app.add_middleware(Shortcut, routes=[route for route in _direct_routes() if "{" not in route.path])
    app.add_middleware(
        RateLimitMiddleware,
        limiter=throttle.limiter,
        policy=POLICY,
        exempt=EXEMPT,
        trusted=settings.trusted_proxies,
        user=user_of,
        tenant=tenant_of,
    )
    app.add_middleware(Credentials, authenticator=services.authenticator)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestContext, metrics=metrics)
    return app


def _direct_routes() -> list[ReportRoute | JobRoute]:
    declared = (*routes.dashboard.routes, *job_routes.jobs.routes)
    return [route for route in declared if isinstance(route, ReportRoute | JobRoute)]


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    services.throttle.start()
    await services.router.open()
    try:
        await services.watch.look()
        if services.watch.refusal is not None:
            raise services.watch.refusal
        await services.maker.open()
        readable = readers(services.settings, Share.GREATER if services.settings.has_maker else Share.WHOLE)
        renewing = (services.cache.renew() for _ in range(min(_RENEWERS, readable)))
        tasks = [asyncio.create_task(work) for work in (services.watch.run(), *renewing)]
        try:
            async with services.jobs.running():
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await services.maker.close()
        await services.router.close()
        await services.throttle.close()
