"""The companion's ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import redis
import redis.asyncio
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ratelimit_service.async_limiter import AsyncLimiter
from ratelimit_service.companion.answers import ProblemResponse, decision_json
from ratelimit_service.companion.bodies import BodyError, BodyReader, FieldError, read_object
from ratelimit_service.companion.settings import CompanionSettings, is_known
from ratelimit_service.decision import Decision
from ratelimit_service.errors import RateLimitedError, UsageError
from ratelimit_service.http.bundled import bundled_policies
from ratelimit_service.options import Options
from ratelimit_service.policy_store import FileSource, PolicySource, PolicyWatcher, RedisSource
from ratelimit_service.slots import SlotLease

_SOURCE_TIMEOUT_S = 2.0
_PROBE = "companion-health"


def create_app(settings: CompanionSettings, options: Options | None = None) -> Starlette:
    """The companion, ready to be served; its lifespan watches the policies and closes the limiter.

    Args:
        settings: where Redis and the policies are, and whom to answer.
        options: the limiter's.

    Raises:
        PolicyFileError: the policies can't be used.
        redis.RedisError: they are in Redis, and it does not answer.
    """
    source = _source(settings)
    limiter = AsyncLimiter(
        redis.asyncio.from_url(settings.redis_url), source.load() if source else bundled_policies(), options
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watcher = None
        if source is not None:
            watcher = PolicyWatcher(source, limiter.install, on_refused=limiter.metrics.reload_failures.add)
            watcher.start()
        try:
            yield
        finally:
            if watcher is not None:
                watcher.stop()
            await limiter.aclose()

    companion = _Companion(limiter, settings)
    handlers: dict[Any, Any] = {HTTPException: _answer_http, BodyError: _answer_body, UsageError: _answer_usage}
    return Starlette(routes=companion.routes(), lifespan=lifespan, exception_handlers=handlers)


def _source(settings: CompanionSettings) -> PolicySource | None:
    if settings.policies == "redis":
        return RedisSource(redis.Redis.from_url(settings.redis_url, socket_timeout=_SOURCE_TIMEOUT_S))
    return FileSource(settings.policies) if settings.policies else None


async def _answer_http(_: Request, error: HTTPException) -> Response:
    return ProblemResponse(error.status_code, error.detail, headers=error.headers)


async def _answer_body(_: Request, error: BodyError) -> Response:
    return ProblemResponse(422, str(error), errors=[field._asdict() for field in error.errors])


async def _answer_usage(_: Request, error: UsageError) -> Response:
    # The body was read against policies that a reload has replaced before the limiter was asked.
    return ProblemResponse(422, str(error), errors=[FieldError("policy", str(error))._asdict()])


class _Companion:
    def __init__(self, limiter: AsyncLimiter, settings: CompanionSettings) -> None:
        self._limiter = limiter
        self._settings = settings
        self._registry = CollectorRegistry()
        self._registry.register(limiter.metrics)

    def routes(self) -> list[Route]:
        """All paths; only `/health` is open to everybody."""
        calls: dict[str, Callable[[dict[str, Any]], Awaitable[Response]]] = {
            "/v1/check": self._check,
            "/v1/check-many": self._check_many,
            "/v1/peek": self._peek,
            "/v1/refund": self._refund,
            "/v1/slots/take": self._take,
            "/v1/slots/renew": self._renew,
            "/v1/slots/release": self._release,
        }
        return [
            *(Route(path, self._guarded(call), methods=["POST"]) for path, call in calls.items()),
            Route("/metrics", self._metrics, methods=["GET"]),
            Route("/health", self._health, methods=["GET"]),
        ]

    def _guarded(
        self, call: Callable[[dict[str, Any]], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            self._authenticate(request)
            return await call(read_object(await self._body(request)))

        return endpoint

    def _authenticate(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not is_known(key.strip().encode("latin-1"), self._settings.key_hashes):
            raise HTTPException(401, "a known key is wanted: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})

    async def _body(self, request: Request) -> bytes:
        most = self._settings.body_max_bytes
        length = request.headers.get("content-length", "0")
        body = bytearray()
        if not length.isdecimal() or int(length) <= most:
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    break
            else:
                return bytes(body)
        raise HTTPException(413, f"a body has at most {most} bytes")

    def _json(self, decision: Decision) -> dict[str, Any]:
        policies = self._limiter.policies
        policy = policies.get(decision.policy)
        return decision_json(decision, is_shadow=policies.is_shadow or (policy is not None and policy.is_shadow))

    async def _check(self, body: dict[str, Any]) -> Response:
        policy, key, cost, tenant = BodyReader(self._limiter.policies, holds_slots=False).ask(body)
        return JSONResponse(self._json(await self._limiter.check(policy, key, cost=cost, tenant=tenant)))

    async def _check_many(self, body: dict[str, Any]) -> Response:
        requests = BodyReader(self._limiter.policies, holds_slots=False).many(body, self._settings.requests_max)
        decisions = await self._limiter.check_many(requests)
        return JSONResponse({"decisions": [self._json(decision) for decision in decisions]})

    async def _peek(self, body: dict[str, Any]) -> Response:
        policy, key, cost, tenant = BodyReader(self._limiter.policies).ask(body)
        return JSONResponse(self._json(await self._limiter.peek(policy, key, cost=cost, tenant=tenant)))

    async def _refund(self, body: dict[str, Any]) -> Response:
        reader = BodyReader(self._limiter.policies, holds_slots=False)
        policy, key, cost, tenant = reader.ask(body, "refund_id")
        refund_id = reader.text(body, "refund_id")
        units = await self._limiter.refund(policy, key, cost=cost, tenant=tenant, refund_id=refund_id)
        return JSONResponse({"refunded": units})

    async def _take(self, body: dict[str, Any]) -> Response:
        policy, key, cost, tenant = BodyReader(self._limiter.policies, holds_slots=True).ask(body)
        try:
            slot = await self._limiter.take_slot(policy, key, cost=cost, tenant=tenant)
        except RateLimitedError as error:
            return JSONResponse({**self._json(error.decision), "slot_id": None, "lease_s": None})
        return JSONResponse({**self._json(slot.decision), "slot_id": slot.id, "lease_s": slot.lease_s})

    def _held(self, body: dict[str, Any]) -> SlotLease:
        reader = BodyReader(self._limiter.policies, holds_slots=True)
        policy, key, _, tenant = reader.ask(body, "slot_id")
        return self._limiter.resume_slot(policy, reader.slot_id(body), key, tenant=tenant)

    async def _renew(self, body: dict[str, Any]) -> Response:
        slot = self._held(body)
        is_renewed = await self._limiter.renew_slot(slot)
        return JSONResponse({"renewed": is_renewed, "lost": slot.is_lost})

    async def _release(self, body: dict[str, Any]) -> Response:
        await self._limiter.release_slot(self._held(body))
        return Response(status_code=204)

    async def _metrics(self, request: Request) -> Response:
        self._authenticate(request)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def _health(self, _: Request) -> Response:
        # A look charges nothing and makes no key. Without Redis the companion still answers, by each policy's on_outage:
        # so it is alive either way, and says which.
        policies = self._limiter.policies
        policy = next(iter(policies.values()), None)
        away = False
        if policy is not None:
            parts = {part: _PROBE for limit in policy.limits for part in limit.per}
            away = (await self._limiter.peek(policy.name, parts)).degraded
        return JSONResponse(
            {"status": "degraded" if away else "ok", "redis": "away" if away else "ok", "policies": policies.version}
        )
