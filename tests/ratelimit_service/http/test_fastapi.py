"""The FastAPI dependency, on a real Redis."""

import asyncio
from typing import Annotated

import pytest
from fastapi import FastAPI, Response, WebSocket
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import connect

from ratelimit_service import Decision, Policy, PolicySet, UsageError
from ratelimit_service.http import RateLimitMiddleware
from ratelimit_service.http.fastapi import RateLimits
from tests.ratelimit_service.http.conftest import browser, serving


async def test_each_endpoint_names_its_policy(make_async_limiter):
    limiter = make_async_limiter(Policy.parse("export", "10/minute per key+route"), Policy.parse("login", "1/minute"))
    limits = RateLimits(limiter)
    app = FastAPI(exception_handlers=limits.handlers)

    @app.get("/exports/{name}", dependencies=[limits("export", cost=5)])
    async def export(name: str) -> dict[str, str]:
        return {"name": name}

    @app.get("/own", dependencies=[limits("export")])
    async def own() -> Response:
        return Response("own", headers={"X-Own": "1"})

    @app.post("/login")
    async def login(decision: Annotated[Decision, limits("login")]) -> int:
        return decision.remaining

    @app.get("/free")
    async def free() -> str:
        return ""

    async with browser(app) as client:
        first = await client.get("/exports/a")
        assert first.json() == {"name": "a"}
        assert first.headers["x-ratelimit-remaining"] == "5"
        assert first.headers["ratelimit"] == '"export";r=5;t=30'
        assert (await client.get("/exports/b")).status_code == 200
        rejection = await client.get("/exports/c")
        assert rejection.status_code == 429, "one count for the route, whatever the name in it"
        assert rejection.headers["retry-after"] == "30"
        assert rejection.headers["content-type"] == "application/problem+json"
        assert rejection.json()["violated-policies"] == ["export"]
        assert [(await client.post("/login")).status_code for _ in range(2)] == [200, 429]
        assert (await client.get("/own")).headers["x-own"] == "1"
        assert "ratelimit" not in (await client.get("/free")).headers


async def test_an_endpoint_with_its_own_response_adds_the_fields(make_async_limiter):
    from fastapi import Request

    limits = RateLimits(make_async_limiter(Policy.parse("api", "9/minute")))
    app = FastAPI(exception_handlers=limits.handlers)

    @app.get("/own", dependencies=[limits("api")])
    async def own(request: Request) -> Response:
        return Response("own", headers=limits.headers(request))

    async with browser(app) as client:
        assert (await client.get("/own")).headers["x-ratelimit-remaining"] == "8"


async def test_slots_are_held_while_an_endpoint_runs(make_async_limiter):
    limits = RateLimits(make_async_limiter(Policy.parse("report", "1 in flight")))
    app = FastAPI(exception_handlers=limits.handlers)
    inside, let_go = asyncio.Event(), asyncio.Event()

    @app.get("/report", dependencies=[limits("report")])
    async def report() -> str:
        inside.set()
        await let_go.wait()
        return "done"

    async with browser(app) as client:
        running = asyncio.ensure_future(client.get("/report"))
        await inside.wait()
        assert (await client.get("/report")).status_code == 429
        let_go.set()
        assert (await running).status_code == 200
        assert (await client.get("/report")).status_code == 200


async def test_beside_the_middleware_the_nearer_limit_is_told(make_async_limiter):
    limiter = make_async_limiter(Policy.parse("default", "100/minute"), Policy.parse("tight", "2/minute"))
    limits = RateLimits(limiter)
    app = FastAPI(exception_handlers=limits.handlers)
    app.add_middleware(RateLimitMiddleware, limiter=limiter)

    @app.get("/tight", dependencies=[limits("tight")])
    async def tight() -> str:
        return ""

    async with browser(app) as client:
        headers = (await client.get("/tight")).headers
        assert headers.get_list("x-ratelimit-limit") == ["2"]
        assert headers.get_list("ratelimit-policy") == ['"tight";q=2;w=60', '"default";q=100;w=60']
        await client.get("/tight")
        rejection = await client.get("/tight")
        assert rejection.status_code == 429
        assert rejection.headers.get_list("x-ratelimit-remaining") == ["0"]


async def test_shadow_reloads_and_absent_policies(make_async_limiter):
    limiter = make_async_limiter(Policy.parse("api", "1/minute", is_shadow=True))
    limits = RateLimits(limiter)
    with pytest.raises(UsageError, match="no policy 'absent'"):
        limits("absent")
    app = FastAPI(exception_handlers=limits.handlers)

    @app.get("/", dependencies=[limits("api")])
    async def root() -> str:
        return ""

    async with browser(app) as client:
        answers = [await client.get("/") for _ in range(2)]
        assert [(answer.status_code, "ratelimit" in answer.headers) for answer in answers] == [(200, False)] * 2
        limiter.install(PolicySet([Policy.parse("api", "1/minute")]))
        assert [(await client.get("/")).status_code for _ in range(2)] == [200, 429]
        limiter.install(PolicySet([Policy.parse("other", "1/minute")]))
        assert [(await client.get("/")).status_code for _ in range(2)] == [200, 200]


def socket_app(limiter) -> FastAPI:
    limits = RateLimits(limiter)
    app = FastAPI(exception_handlers=limits.handlers)

    @app.websocket("/socket/{name}", dependencies=[limits("socket")])
    async def echo(socket: WebSocket, name: str) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    return app


def test_connections_to_a_websocket_are_counted(make_async_limiter):
    app = socket_app(make_async_limiter(Policy.parse("socket", "2/hour per address+route")))
    with serving(app) as url:
        for name in ("a", "b"):
            with connect(f"{url.replace('http', 'ws')}/socket/{name}") as client:
                client.send("hello")
                assert client.recv() == "hello"
        with pytest.raises(InvalidStatus) as rejection:
            connect(f"{url.replace('http', 'ws')}/socket/c")
    response = rejection.value.response
    assert response.status_code == 429
    assert response.headers["retry-after"] == "1800"
    assert b"quota-exceeded" in response.body


async def test_a_websocket_holds_its_slot_while_it_is_open(make_async_limiter):
    app = socket_app(make_async_limiter(Policy.parse("socket", "1 in flight")))
    with serving(app) as url:
        address = f"{url.replace('http', 'ws')}/socket/a"
        with connect(address) as client:
            with pytest.raises(InvalidStatus):
                await asyncio.to_thread(connect, address)
            client.send("hello")
            assert client.recv() == "hello"
            with pytest.raises(ConnectionClosedOK):
                client.recv()
