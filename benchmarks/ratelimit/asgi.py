"""Measure the middleware, 50 requests at a time, beside one EVALSHA per request, slowapi and fastapi-limiter."""

import asyncio
from collections.abc import Callable
from typing import Any

import redis
import redis.asyncio
from fastapi import Depends, FastAPI
from fastapi_limiter.depends import RateLimiter
from pyrate_limiter import GCRA, Duration, Limiter, Rate, StateBucket
from pyrate_limiter.buckets.redis_state import RedisStateStore
from slowapi import Limiter as SlowLimiter
from slowapi.middleware import SlowAPIASGIMiddleware
from slowapi.util import get_remote_address
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from benchmarks.ratelimit.async_checks import TASKS
from benchmarks.ratelimit.floor import QUANTITY, RATE, SCRIPT, AsyncFloor
from benchmarks.ratelimit.policies import PATIENT, POLICIES
from benchmarks.ratelimit.rounds import AsyncWork, Effort, faster, interleave_async, times
from benchmarks.report import Report
from ratelimit_service import AsyncLimiter
from ratelimit_service.http import RateLimitMiddleware

App = Callable[..., Any]
_BARE = "no limiter"
_FLOOR = "middleware with one EVALSHA"
_OURS = "salespulse"


class FloorMiddleware:
    """What a team would write: await the script, refuse or go on, three header fields."""

    def __init__(self, app: App, floor: AsyncFloor) -> None:
        self._app = app
        self._floor = floor

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        allowed, remaining, reset_us, wait_us = await self._floor.check(scope["client"][0])
        if not allowed:
            headers = [(b"retry-after", b"%d" % (wait_us // 1_000_000 + 1))]
            await send({"type": "http.response.start", "status": 429, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        fields = [
            (b"x-ratelimit-limit", b"%d" % QUANTITY),
            (b"x-ratelimit-remaining", b"%d" % remaining),
            (b"x-ratelimit-reset", b"%d" % (reset_us // 1_000_000 + 1)),
        ]

        async def announce(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *fields]}
            await send(message)

        await self._app(scope, receive, announce)


def requests(app: App) -> AsyncWork:
    """n requests to an app by 50 clients at a time, with no server in between; each must be answered 200."""

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def client(number: int, count: int) -> None:
        statuses: list[int] = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        for _ in range(count):
            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": "GET",
                "scheme": "http",
                "path": "/",
                "raw_path": b"/",
                "query_string": b"",
                "root_path": "",
                "headers": [(b"host", b"shop.example"), (b"accept", b"*/*")],
                "client": (f"192.0.2.{number}", 50_000),
                "server": ("127.0.0.1", 80),
                "state": {},
            }
            await app(scope, receive, send)
        assert statuses == [200] * count

    def work(count: int) -> Any:
        return asyncio.gather(*(client(number, count // TASKS) for number in range(TASKS)))

    return work


async def _hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def _starlette() -> Starlette:
    return Starlette(routes=[Route("/", _hello)])


def _fastapi(**options: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/", response_class=PlainTextResponse, **options)
    async def hello() -> str:
        return "hello"

    return app


async def plain(_scope: Any, _receive: Any, send: Any) -> None:
    """The least that an application can be."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


def _slowapi(port: int) -> FastAPI:
    app = _fastapi()
    app.state.limiter = SlowLimiter(
        key_func=get_remote_address,
        default_limits=[f"{QUANTITY}/day"],
        storage_uri=f"redis://127.0.0.1:{port}",
        headers_enabled=True,
    )
    app.add_middleware(SlowAPIASGIMiddleware)
    return app


def _fastapi_limiter(client: redis.asyncio.Redis) -> FastAPI:
    # fastapi-limiter 0.2 takes a pyrate-limiter Limiter; one bucket for all clients is its documentation's example.
    bucket = StateBucket([Rate(RATE, Duration.DAY, burst=QUANTITY)], GCRA(), RedisStateStore(client, "fastapi-limiter"))
    return _fastapi(dependencies=[Depends(RateLimiter(limiter=Limiter(bucket)))])


def measure_asgi(report: Report, port: int, effort: Effort) -> None:
    """All figures of the middleware."""
    asyncio.run(_measure(report, port, effort))


async def _measure(report: Report, port: int, effort: Effort) -> None:
    with redis.Redis(port=port) as client:
        client.flushall()
        sha = client.script_load(SCRIPT)
    shared = redis.asyncio.Redis(port=port)
    async with shared, AsyncLimiter(shared, POLICIES, PATIENT) as limiter:
        floor = AsyncFloor(shared, sha)

        def limited(app: App) -> App:
            return RateLimitMiddleware(app, limiter=limiter, policy="one")

        for kind, app, bound in (
            ("a plain ASGI app", plain, 2.5),
            ("a Starlette app", _starlette(), 2.5),
        ):
            apps = {_BARE: app, _FLOOR: FloorMiddleware(app, floor), _OURS: limited(app)}
            times_us = await _interleave(apps, effort)
            scene = f"ASGI, {kind}"
            report.add(*times(times_us, scene), faster(times_us, scene, _OURS, _FLOOR, bound=bound))
        fast = _fastapi()
        apps = {
            _BARE: fast,
            _FLOOR: FloorMiddleware(fast, floor),
            _OURS: limited(fast),
            "slowapi": _slowapi(port),
            "fastapi-limiter": _fastapi_limiter(shared),
        }
        times_us = await _interleave(apps, effort)
        scene = "ASGI, a FastAPI app"
        report.add(*times(times_us, scene))
        report.add(
            faster(times_us, scene, _OURS, _FLOOR, bound=None),
            *(faster(times_us, scene, _OURS, peer, bound=3.0) for peer in ("slowapi", "fastapi-limiter")),
        )


async def _interleave(apps: dict[str, App], effort: Effort) -> dict[str, list[float]]:
    return await interleave_async({name: requests(app) for name, app in apps.items()}, effort, unit=TASKS)
