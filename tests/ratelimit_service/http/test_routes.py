"""Rules against the routes of applications: at start-up, and where a spelling leads to another view."""

import django
import pytest
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import override_settings
from django.urls import include, path, re_path
from fastapi import APIRouter, FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, WebSocketRoute
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from ratelimit_service import Policy, UsageError
from ratelimit_service.http import RateLimitMiddleware, RateLimitWSGI, Rule
from ratelimit_service.http.routes import find_routes, normal_path, path_below
from tests.ratelimit_service.http.conftest import browser
from tests.ratelimit_service.http.test_wsgi import call


def view(request=None, **_):
    return PlainTextResponse("")


def starlette_app():
    shop = Starlette(routes=[Route("/login", view, methods=["POST"]), Route("/{item:int}/files/{rest:path}", view)])
    routes = [Mount("/shop", shop), Mount("/raw", view), Host("other.test", Starlette(routes=[Route("/login", view)]))]
    return Starlette(routes=[*routes, Route("/items/{item}.json", view), WebSocketRoute("/socket", view)])


def fastapi_app():
    inner, outer, app = APIRouter(prefix="/{item}"), APIRouter(prefix="/items"), FastAPI()
    inner.post("/buy")(view)
    outer.include_router(inner)
    app.include_router(outer)
    app.mount("/shop", starlette_app())
    return app


def flask_app():
    app = Flask("shop")
    app.add_url_rule("/items/<int(min=1):item>/buy/", "buy", view, methods=["POST"])
    app.add_url_rule("/files/<path:rest>", "files", view)
    return app


if not settings.configured:
    settings.configure(SECRET_KEY="test", ALLOWED_HOSTS=["*"])
    django.setup()


def django_urls():
    def page(request, **_):
        return HttpResponse("")

    items = [path("<int:item>/buy/", page), re_path("^list$", page), re_path(r"^(?P<year>\d{4})/$", page)]
    return (path("items/", include(items)), path("login", page))


CASES = [
    (starlette_app, ["/shop/login", "/shop/{item}/files/**", "/shop/3/files/a/b", "/raw/x", "/raw", "/login", "/items/{x}"]),
    (fastapi_app, ["/items/{item}/buy", "/items/3/buy", "/items/**", "/shop/shop/login", "/openapi.json", "/**"]),
    (flask_app, ["/items/{item}/buy", "/items/3/buy/", "/files/a/b", "/static/**"]),
]  # fmt: skip


@pytest.mark.parametrize(("make_app", "paths"), CASES, ids=["starlette", "fastapi", "flask"])
def test_a_rule_matches_a_route_or_is_an_error(make_app, paths, make_limiter):
    limiter = make_limiter(Policy.parse("default", "1/s"))
    for rule_path in paths:
        RateLimitWSGI(make_app(), limiter=limiter, rules=[Rule(rule_path, "default")]).check_routes()
    strangers = [Rule(rule_path, "default") for rule_path in ("/logn", "/shop/items", "/socket", "/items/1/2/3/4")]
    rules = [*strangers, *(Rule(rule_path, "default") for rule_path in paths)]
    with pytest.raises(UsageError, match=r"of the application: /logn, /shop/items, /socket, /items/1/2/3/4[.] "):
        RateLimitWSGI(make_app(), limiter=limiter, rules=rules).check_routes()


def test_a_rule_of_django(make_limiter):
    limiter = make_limiter(Policy.parse("default", "1/s"))

    def check(*paths, **options):
        app = RateLimitWSGI(WSGIHandler(), limiter=limiter, rules=[Rule(each, "default") for each in paths], **options)
        return app.check_routes()

    with override_settings(ROOT_URLCONF=django_urls()):
        check("/login", "/items/{item}/buy", "/items/list", "/items/2026/", route_check="all")
        with pytest.raises(UsageError, match=r"no route of the application: /logn, /other/x[.] "):
            check("/logn", "/other/x", "/login")


def test_methods_and_routes_without_a_rule(make_limiter):
    limiter = make_limiter(Policy.parse("default", "1/s"))
    app = flask_app()
    rules = [Rule("/items/{item}/buy", "default", methods=("DELETE",)), Rule("/files/**", "default", methods=("GET",))]
    with pytest.raises(UsageError, match=r"no route of the application: /items/\{item\}/buy \(DELETE\)[.]"):
        RateLimitWSGI(app, limiter=limiter, rules=rules).check_routes()
    complete = {"rules": rules[1:], "exempt": ["/static/**", "/absent"], "route_check": "all"}
    with pytest.raises(UsageError, match=r"routes are in no rule: /items/<int\(min=1\):item>/buy/[.]"):
        RateLimitWSGI(app, limiter=limiter, **complete).check_routes()
    complete["rules"] = [Rule("/items/**", "default"), *rules[1:]]
    RateLimitWSGI(app, limiter=limiter, **complete).check_routes()
    RateLimitWSGI(app, limiter=limiter, rules=rules, route_check="off").check_routes()
    with pytest.raises(UsageError, match="needs the routes of"):
        RateLimitWSGI(view, limiter=limiter, route_check="all").check_routes()
    with pytest.raises(UsageError, match="route_check must be one of rules, all, off, not 'some'"):
        RateLimitWSGI(app, limiter=limiter, route_check="some")
    assert find_routes(DispatcherMiddleware(app, {"/x": app})) is None, "not all of its routes can be read"


async def test_a_server_does_not_start_with_a_rule_for_nothing(make_async_limiter):
    app = starlette_app()
    app.add_middleware(
        RateLimitMiddleware,
        limiter=make_async_limiter(Policy.parse("default", "1/s")),
        rules=[Rule("/logn", "default")],
    )
    events = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        events.append(message)

    await app({"type": "lifespan"}, receive, send)
    assert [event["type"] for event in events] == ["lifespan.startup.failed"]
    assert "/logn" in events[0]["message"]
    async with browser(app) as client:
        for _ in range(2):
            with pytest.raises(UsageError, match="/logn"):
                await client.get("/shop/login")


def test_a_spelling_that_leads_to_another_view_counts_for_that(make_limiter):
    limiter = make_limiter(Policy.parse("default", "100/hour"), Policy.parse("login", "5/hour"))
    app = Flask("shop")
    for rule_path in ("/login", "/login/", "/free"):
        app.add_url_rule(rule_path, rule_path, lambda: "")
    limited = RateLimitWSGI(app, limiter=limiter, rules=[Rule("/login", "login")], exempt=["/free"])
    policies = {
        spelling: call(limited, spelling)[1].get("RateLimit-Policy", "").partition(";")[0]
        for spelling in ("/login", "//login", "/login/", "/free", "//free")
    }
    assert policies == {
        "/login": '"login"',
        "//login": '"login"',
        "/login/": '"default"',
        "/free": "",
        "//free": '"default"',
    }


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("", "/"), ("/", "/"), ("//", "/"), ("/a", "/a"), ("/a/", "/a"), ("//a///b//", "/a/b"), ("/a\n", "/a"), ("a", "/a"),
        ("/a\nb", "/a\nb"), ("\n", "/"),
    ],
)  # fmt: skip
def test_the_normal_form(spelling, expected):
    assert normal_path(spelling) == expected
    assert normal_path(expected) == expected


@pytest.mark.parametrize(
    ("root_path", "spelling", "expected"),
    [
        ("", "/a", "/a"),
        ("/api", "/api/a", "/a"),
        ("/api", "/a", "/a"),
        ("/api", "/api", "/"),
        ("/api", "/apis", "/apis"),
    ],
)
def test_what_is_below_a_root_path(root_path, spelling, expected):
    assert path_below(root_path, spelling) == expected
