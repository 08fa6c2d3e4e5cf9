"""Applications of each framework with a limited login, made in the processes of real servers (test_spellings.py)."""

import os

import redis
import redis.asyncio

from ratelimit_service import AsyncLimiter, Limiter, Policy, PolicySet
from ratelimit_service.http import RateLimitMiddleware, RateLimitWSGI, Rule

PORT = "RATELIMIT_TEST_REDIS_PORT"
POLICIES = PolicySet([Policy.parse("default", "100000/hour"), Policy.parse("login", "10000/hour")])
RULES = [Rule("/login", "login", methods=("POST",)), Rule("/items/{id}/buy", "login")]


def _arguments(limiter_class, client_class) -> dict:
    client = client_class(port=int(os.environ[PORT]))
    return {"limiter": limiter_class(client, POLICIES), "rules": RULES}


def _async_arguments() -> dict:
    return _arguments(AsyncLimiter, redis.asyncio.Redis)


def starlette():
    """With the middleware inside, and one more application below /shop that limits its own /login."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    async def login(request):
        return PlainTextResponse("login")

    async def other(request):
        return PlainTextResponse("other")

    routes = [Route("/login", login, methods=["POST"]), Route("/items/{id:int}/buy", login, methods=["POST"])]
    shop = Starlette(routes=routes)
    shop.add_middleware(RateLimitMiddleware, **_async_arguments())
    app = Starlette(routes=[Mount("/shop", shop), *routes, Route("/{path:path}", other, methods=["GET", "POST"])])
    app.add_middleware(RateLimitMiddleware, **_async_arguments())
    return app


def fastapi():
    """With a `root_path` of its own and the login in a router with a prefix."""
    from fastapi import APIRouter, FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI(root_path="/api")
    items = APIRouter(prefix="/items")

    @items.post("/{item}/buy")
    @app.post("/login")
    async def login(item: str = "") -> PlainTextResponse:
        return PlainTextResponse("login")

    app.include_router(items)
    app.add_middleware(RateLimitMiddleware, **_async_arguments())
    return app


def flask(**options):
    from flask import Flask

    app = Flask("shop")

    @app.post("/login", **options)
    @app.post("/items/<int:item>/buy", **options)
    def login(item=0):
        return "login"

    @app.post("/<path:path>")
    def other(path):
        return "other"

    app.wsgi_app = RateLimitWSGI(app.wsgi_app, **_arguments(Limiter, redis.Redis))
    return app


def flask_with_loose_slashes():
    return flask(strict_slashes=False)


def _django() -> None:
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path, re_path

    def login(request, item=0):
        return HttpResponse("login")

    urls = [
        path("items/<int:item>/buy", login),
        re_path("^login$", login),
        re_path("^log", lambda _: HttpResponse("other")),
    ]
    settings.configure(ROOT_URLCONF=tuple(urls), ALLOWED_HOSTS=["*"], SECRET_KEY="test", FORCE_SCRIPT_NAME="/api")
    django.setup()


def django_asgi():
    from django.core.asgi import get_asgi_application

    _django()
    return RateLimitMiddleware(get_asgi_application(), **_async_arguments())


def django_wsgi():
    from django.core.wsgi import get_wsgi_application

    _django()
    return RateLimitWSGI(get_wsgi_application(), **_arguments(Limiter, redis.Redis))
