"""The ASGI middleware before Starlette and bare applications, on a real Redis."""

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from ratelimit_service import AsyncLimiter, Options, Policy, PolicySet, UsageError
from ratelimit_service.http import ClientAddress, RateLimitMiddleware, Rule
from tests.ratelimit_service.http.conftest import browser, serving
from tests.servers import redis_servers

ROOT = Path(__file__).parents[3]


async def hello(request):
    return PlainTextResponse("hello")


def app_with(limiter: AsyncLimiter | None = None, *outer: Middleware, routes=(), **settings) -> Starlette:
    more = {"limiter": limiter} if limiter else {}
    return Starlette(
        routes=[*routes, Route("/{path:path}", hello, methods=["GET", "POST"])],
        middleware=[*outer, Middleware(RateLimitMiddleware, **more, **settings)],
    )


async def statuses(client, paths, **more) -> list[int]:
    return [(await client.get(path, **more)).status_code for path in paths]


async def test_the_limit_the_headers_and_the_refusal(make_async_limiter):
    app = app_with(make_async_limiter(Policy.parse("default", "2/minute")))
    async with browser(app) as client:
        first = await client.get("/")
        assert first.text == "hello"
        assert first.headers["x-ratelimit-limit"] == "2"
        assert first.headers["x-ratelimit-remaining"] == "1"
        assert first.headers["x-ratelimit-reset"] == "30"
        assert first.headers["ratelimit-policy"] == '"default";q=2;w=60'
        assert first.headers["ratelimit"] == '"default";r=1;t=30'
        assert "retry-after" not in first.headers
        await client.get("/")
        rejection = await client.get("/")
        assert rejection.status_code == 429
        assert rejection.headers["content-type"] == "application/problem+json"
        assert rejection.headers["x-ratelimit-remaining"] == "0"
        assert rejection.headers["retry-after"] == "30"
        assert rejection.json()["violated-policies"] == ["default"]
        assert (await client.head("/")).content == b""
    async with browser(app, "192.0.2.2") as other:
        assert (await other.get("/")).status_code == 200


def test_the_bundled_policy_by_url_on_a_real_server(server):
    app = app_with(redis_url=f"redis://127.0.0.1:{server.port}")
    with serving(app) as url, httpx.Client(base_url=url) as client:
        first = client.get("/")
        assert first.headers["x-ratelimit-limit"] == "100"
        assert first.headers["ratelimit-policy"] == '"default";q=100;w=60'
        assert [client.get("/").status_code for _ in range(100)].count(429) in {0, 1}
        assert server.client().dbsize() == 1
        connected = [peer for peer in server.client().client_list() if peer["cmd"].startswith("eval")]
        assert len(connected) == 1
    # Shutting the application down closed the connections that it had made itself.
    redis_servers.until(
        lambda: not any(peer["cmd"].startswith("eval") for peer in server.client().client_list()), within_s=60
    )


async def test_fifty_at_once_share_one_limit(make_async_limiter):
    app = app_with(make_async_limiter(Policy.parse("default", "20/hour")))
    async with browser(app) as client:
        answers = await asyncio.gather(*(client.get("/") for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 20 + [429] * 30
    passed = {int(answer.headers["x-ratelimit-remaining"]) for answer in answers if answer.status_code == 200}
    assert passed == set(range(20))


class Bearer(AuthenticationBackend):
    """Takes any bearer token for a name."""

    async def authenticate(self, conn):
        _, _, name = conn.headers.get("authorization", "").partition(" ")
        return (AuthCredentials(), SimpleUser(name)) if name else None


async def test_users_are_counted_apart_from_addresses(make_async_limiter):
    limiter = make_async_limiter(Policy.parse("default", "1/minute"))
    app = app_with(limiter, Middleware(AuthenticationMiddleware, backend=Bearer()))
    async with browser(app) as client:
        ann, bob = ({"authorization": f"Bearer {name}"} for name in ("ann", "192.0.2.1"))
        assert await statuses(client, "//", headers=ann) == [200, 429]
        assert await statuses(client, "//", headers=bob) == [200, 429]
        assert await statuses(client, "//") == [200, 429], "a user called like an address is not that address"
    async with browser(app, "192.0.2.2") as elsewhere:
        assert await statuses(elsewhere, "/", headers=ann) == [429], "a user is one, wherever they are"


async def test_a_claimed_address_buys_nothing(make_async_limiter):
    app = app_with(make_async_limiter(Policy.parse("default", "1/minute")))
    async with browser(app) as client:
        claims = [{"x-forwarded-for": f"203.0.113.{number}"} for number in range(3)]
        assert [(await client.get("/", headers=claim)).status_code for claim in claims] == [200, 429, 429]


async def test_behind_a_trusted_proxy_clients_are_apart(make_async_limiter):
    app = app_with(make_async_limiter(Policy.parse("default", "1/minute")), trusted=["10.0.0.0/8"])
    async with browser(app, "10.1.1.1") as proxy:
        hops = ["203.0.113.1", "203.0.113.1", "9.9.9.9, 203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8::2"]
        events = [(await proxy.get("/", headers={"x-forwarded-for": hop})).status_code for hop in hops]
    assert events == [200, 429, 429, 200, 200, 429]


async def test_another_proxy_header(make_async_limiter):
    address = ClientAddress(["10.0.0.1"], header="CF-Connecting-IP", ipv6_prefix=128)
    app = app_with(make_async_limiter(Policy.parse("default", "1/minute")), address=address)
    async with browser(app, "10.0.0.1") as proxy:
        hops = ["2001:db8::1", "2001:db8::2", "2001:db8::2"]
        events = [(await proxy.get("/", headers={"cf-connecting-ip": hop})).status_code for hop in hops]
    assert events == [200, 200, 429]


async def test_rules_exemptions_and_costs(make_async_limiter):
    limiter = make_async_limiter(
        Policy.parse("default", "3/minute"),
        Policy.parse("login", "1/minute per address"),
        Policy.parse("routes", "1/minute per address+route"),
    )
    rules = [
        Rule("/login", "login", methods=("POST",)),
        Rule("/heavy/{id}", "default", cost=2),
        Rule("/free/**", None),
        Rule("/a/**", "routes"),
        Rule("/b/{x}", "routes", methods=("GET",)),
    ]
    app = app_with(limiter, rules=rules, exempt=["/health", "/metrics"])
    async with browser(app) as client:
        assert [(await client.post("/login")).status_code for _ in range(2)] == [200, 429]
        health = await client.get("/health")
        assert "x-ratelimit-limit" not in health.headers
        assert await statuses(client, ["/free", "/free/x/y", "/metrics", "/health"] * 3) == [200] * 12
        assert (await client.get("/login")).headers["x-ratelimit-remaining"] == "2", "GET falls under the default"
        assert await statuses(client, ["/heavy/7", "/heavy/7"]) == [200, 429]
        assert await statuses(client, ["/a", "/a/other", "/b/1", "/b/2"]) == [200, 429, 200, 429]
        assert (await client.head("/b/3")).status_code == 429, "HEAD is no way around a rule for GET"
        assert await statuses(client, ["/healthy", "/freedom"]) == [429, 429], "an exemption is the whole path"


async def test_tenants_keys_and_parts_of_ones_own(make_async_limiter):
    limiter = make_async_limiter(
        Policy.parse("default", "1/minute per tenant+shop", tenants={"acme": ["2/minute per tenant"]})
    )
    app = app_with(
        limiter,
        tenant=lambda scope: dict(scope["headers"]).get(b"x-tenant", b"").decode() or None,
        parts={"shop": lambda scope: scope["path"]},
    )
    async with browser(app) as client:
        assert await statuses(client, ["/1", "/2", "/3"], headers={"x-tenant": "acme"}) == [200, 200, 429]
        assert await statuses(client, ["/1", "/1", "/2"], headers={"x-tenant": "other"}) == [200, 429, 200]
        assert await statuses(client, ["/1", "/1"]) == [200, 429], "who has no tenant counts by address"


async def test_verified_api_keys(make_async_limiter):
    ids = {"secret-1": "shop"}
    app = app_with(
        make_async_limiter(Policy.parse("default", "1/minute")),
        api_key=lambda scope: ids.get(dict(scope["headers"]).get(b"x-api-key", b"").decode()),
    )
    async with browser(app) as client:
        assert await statuses(client, "//", headers={"x-api-key": "secret-1"}) == [200, 429]
        assert await statuses(client, "/", headers={"x-api-key": "made-up-1"}) == [200]
        assert await statuses(client, "/", headers={"x-api-key": "made-up-2"}) == [429], "a made-up key is an address"


async def test_streams_flow(make_async_limiter):
    gate = asyncio.Event()
    events = []

    async def chunks():
        yield b"one"
        await gate.wait()
        yield b"two"

    async def stream(request):
        return StreamingResponse(chunks())

    limiter = make_async_limiter(Policy.parse("default", "1/minute"))
    app = app_with(limiter, routes=[Route("/stream", stream)])

    async def send(message):
        events.append(message)
        if message.get("body") == b"one":
            gate.set()  # the second chunk is made only when the first was passed on

    scope = {"type": "http", "method": "GET", "path": "/stream", "headers": [], "query_string": b"", "client": None}
    await asyncio.wait_for(app({**scope, "http_version": "1.1"}, asyncio.Event().wait, send), 5)
    assert [message.get("body") for message in events if message["type"] == "http.response.body"][:2] == [
        b"one",
        b"two",
    ]
    assert dict(events[0]["headers"])[b"x-ratelimit-remaining"] == b"0"


async def test_websockets_are_handed_on_untouched(make_async_limiter):
    events = []

    async def app(scope, receive, send):
        events.append((scope, receive, send))

    limited = RateLimitMiddleware(app, limiter=make_async_limiter(Policy.parse("default", "1/minute")))
    scope = {"type": "websocket", "path": "/", "headers": [], "client": ("192.0.2.1", 1)}
    parts = (scope, object(), object())
    for _ in range(3):
        await limited(*parts)
    assert all(theirs is ours for arguments in events for theirs, ours in zip(arguments, parts, strict=True))
    assert len(events) == 3


async def test_slots_are_held_while_a_request_runs(make_async_limiter):
    limiter = make_async_limiter(Policy.parse("default", "2 in flight lease 300ms", "100/minute"))
    finish, inside = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(request):
        inside.release()
        await finish.wait()
        return PlainTextResponse("done")

    async def broken(request):
        raise RuntimeError("the application fails")

    app = app_with(limiter, routes=[Route("/slow", slow), Route("/broken", broken)])
    async with browser(app) as client:
        running = [asyncio.ensure_future(client.get("/slow")) for _ in range(2)]
        for _ in running:
            await inside.acquire()
        # Longer than a lease: the middleware renews.
        end = asyncio.get_running_loop().time() + 0.5
        while asyncio.get_running_loop().time() < end:
            rejection = await client.get("/")
            assert rejection.status_code == 429
            assert rejection.json()["violated-policies"] == ["default-1"]
        finish.set()
        assert [(await answer).status_code for answer in running] == [200, 200]
        passed = await client.get("/")
        assert passed.status_code == 200
        assert '"default-1";q=2;qu="concurrent-requests", "default-2";q=100;w=60' in passed.headers["ratelimit-policy"]
        for _ in range(3):
            with pytest.raises(RuntimeError, match="the application fails"):
                await client.get("/broken")
        assert (await client.get("/")).status_code == 200, "a failing application gives its slot back"


async def test_a_shadow_policy_is_not_seen_but_counted(make_async_limiter):
    limiter = make_async_limiter(Policy.parse("default", "1/minute", is_shadow=True))
    events = []

    async def endpoint(request):
        events.append(request.scope["ratelimit"].would_deny)
        return PlainTextResponse("")

    async with browser(app_with(limiter, routes=[Route("/look", endpoint)])) as client:
        answers = [await client.get("/look") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert not [name for name in answers[0].headers if "ratelimit" in name]
    assert events == [False, True, True]


@pytest.mark.parametrize(
    ("on_outage", "expected"), [("open", [200, 200]), ("closed", [503, 503]), ("local", [200, 429])]
)
async def test_without_redis_the_policy_answers(on_outage, expected, own_server, make_async_limiter):
    limiter = make_async_limiter(
        Policy.parse("default", "1/minute", on_outage=on_outage), options=Options(), port=own_server.port
    )
    own_server.kill()
    async with browser(app_with(limiter)) as client:
        answers = [await client.get("/") for _ in range(2)]
        assert [answer.status_code for answer in answers] == expected
        assert all(answer.headers["x-ratelimit-limit"] == "1" for answer in answers)
        assert all(("retry-after" in answer.headers) == (answer.status_code != 200) for answer in answers)


async def test_the_applications_own_fields_stay_the_only_ones(make_async_limiter):
    async def own(request):
        return PlainTextResponse("", headers={"X-RateLimit-Limit": "7", "RateLimit": '"inner";r=1;t=1'})

    app = app_with(make_async_limiter(Policy.parse("default", "5/minute")), routes=[Route("/own", own)])
    async with browser(app) as client:
        headers = (await client.get("/own")).headers
    assert headers.get_list("x-ratelimit-limit") == ["7"]
    assert "x-ratelimit-remaining" not in headers
    assert headers.get_list("ratelimit") == ['"inner";r=1;t=1', '"default";r=4;t=12']


async def test_policies_are_replaced_under_the_middleware(make_async_limiter, caplog):
    limiter = make_async_limiter(Policy.parse("default", "1/minute"), Policy.parse("login", "1/minute"))
    app = app_with(limiter, rules=[Rule("/login", "login")])
    async with browser(app) as client:
        assert await statuses(client, ["/", "/", "/login", "/login"]) == [200, 429, 200, 429]
        limiter.install(PolicySet([Policy.parse("default", "2/minute per address")]))
        assert await statuses(client, ["/", "/", "/"]) == [200, 200, 429]
        assert await statuses(client, ["/login", "/login"]) == [200, 200]
    assert [record.message for record in caplog.records if "/login" in record.message] == [
        "requests to /login are not limited: no policy 'login' for /login; there are default"
    ]


def test_what_can_not_be_meant_is_refused_at_set_up(server):
    url = f"redis://127.0.0.1:{server.port}"
    strange = PolicySet([Policy.parse("default", "1/s per shop")])
    for settings, reason in [
        ({}, "limiter or a redis_url"),
        ({"redis_url": url, "policy": "absent"}, "no policy 'absent'"),
        ({"redis_url": url, "rules": [Rule("/x", "absent")]}, "no policy 'absent' for /x"),
        ({"redis_url": url, "policies": strange}, "counts per shop"),
        ({"redis_url": url, "exempt": "/health"}, "exempt must be a list"),
        ({"redis_url": url, "trusted": ["somewhere"]}, "somewhere"),
    ]:
        with pytest.raises(UsageError, match=reason):
            RateLimitMiddleware(app_with, **settings)
    for path, methods in [("login", ()), ("/a*", ()), ("/a/**/b", ()), ("/a", ("get",)), ("/a", "GET")]:
        with pytest.raises(UsageError):
            Rule(path, "default", methods)


def test_importing_the_middleware_imports_no_framework():
    code = """
        import sys
        import ratelimit_service.http
        heavy = {"starlette", "fastapi", "uvicorn", "pydantic", "dagster", "pandas", "sqlalchemy", "psycopg"}
        print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
