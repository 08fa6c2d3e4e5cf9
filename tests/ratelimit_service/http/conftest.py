"""Fixtures: the limiter suite's real Redis, async limiters on it, and an in-process client of an ASGI application."""

import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
import redis.asyncio
import uvicorn

from ratelimit_service import AsyncLimiter, Options, Policy, PolicySet
from tests.ratelimit_service.conftest import (  # noqa: F401 - fixtures are found by their names here
    PATIENT,
    client,
    make_limiter,
    own_server,
    patient_by_default,
    redis_session,
    server,
)
from tests.servers import redis_servers


@pytest.fixture
async def make_async_limiter(server) -> AsyncIterator[Callable[..., AsyncLimiter]]:  # noqa: F811 - the fixture
    """Makes async limiters with a patient deadline, from policies; closes them."""
    limiters = []

    def make(*policies: Policy, options: Options = PATIENT, port: int = server.port, **more) -> AsyncLimiter:
        limiter = AsyncLimiter(redis.asyncio.Redis(port=port), PolicySet(policies), options, **more)
        limiters.append(limiter)
        return limiter

    yield make
    for limiter in limiters:
        await limiter.aclose()


def browser(app, address: str = "192.0.2.1", **more) -> httpx.AsyncClient:
    """A client of an application in this process, seen by it at an address."""
    transport = httpx.ASGITransport(app, client=(address, 4000), **more)
    return httpx.AsyncClient(transport=transport, base_url="http://shop.test")


@contextlib.contextmanager
def serving(app) -> Iterator[str]:
    """The URL of an application on a real uvicorn, which is shut down properly at the end."""
    http = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=http.run)
    thread.start()
    try:
        redis_servers.until(lambda: http.started or not thread.is_alive())
        assert http.started
        yield f"http://127.0.0.1:{http.servers[0].sockets[0].getsockname()[1]}"
    finally:
        http.should_exit = True
        thread.join()
