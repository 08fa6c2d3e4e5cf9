"""The companion's ASGI application, and its responses: decisions as JSON, and problem documents (RFC 9457)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
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
from ratelimit_service.companion.request_body import BodyError, BodyParser, FieldError, read_object
from ratelimit_service.companion.settings import CompanionSettings, is_known
from ratelimit_service.decision import Decision
from ratelimit_service.errors import RateLimitedError, UsageError
from ratelimit_service.http.headers import PROBLEM_TYPE, STATUS_TITLES, as_text, rate_limit_headers
from ratelimit_service.options import Options
from ratelimit_service.policy_file import bundled_policies
from ratelimit_service.policy_store import FileSource, PolicySource, PolicyWatcher, RedisSource
from ratelimit_service.slots import SlotLease

_SOURCE_TIMEOUT_S = 2.0
_PROBE = "companion-health"


def create_app(settings: CompanionSettings, options: Options | None = None) -> Starlette:
    """Return the companion's application; its lifespan watches the policies and closes the limiter.

    Args:
        settings: Redis, policies and keys.
        options: the limiter's options.

    Raises:
        PolicyFileError: the policies are invalid.
        redis.RedisError: the policies are in Redis, which is unavailable.
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
    handlers: dict[Any, Any] = {HTTPException: _respond_http, BodyError: _respond_body, UsageError: _respond_usage}
    return Starlette(routes=companion.routes(), lifespan=lifespan, exception_handlers=handlers)


def _source(settings: CompanionSettings) -> PolicySource | None:
    if settings.policies == "redis":
        return RedisSource(redis.Redis.from_url(settings.redis_url, socket_timeout=_SOURCE_TIMEOUT_S))
    return FileSource(settings.policies) if settings.policies else None


async def _respond_http(_: Request, error: HTTPException) -> Response:
    return _ProblemResponse(error.status_code, error.detail, headers=error.headers)


async def _respond_body(_: Request, error: BodyError) -> Response:
    return _ProblemResponse(422, str(error), errors=[field._asdict() for field in error.errors])


async def _respond_usage(_: Request, error: UsageError) -> Response:
    # A reload has replaced the policies that the body was validated by.
    return _ProblemResponse(422, str(error), errors=[FieldError("policy", str(error))._asdict()])


class _ProblemResponse(JSONResponse):
    """A problem document of type `about:blank`, titled by its status."""

    media_type = PROBLEM_TYPE.decode()

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        problem = {"title": STATUS_TITLES.get(status, "Error"), "status": status, "detail": detail, **members}
        super().__init__(problem, status, dict(headers or {}))


def _decision_json(decision: Decision, *, is_shadow: bool) -> dict[str, Any]:
    """Return a decision with the header fields for the caller's own response; none for a shadow policy."""
    binding = decision.binding
    refused_by = decision.refused_by
    return {
        "allowed": decision.allowed,
        "policy": decision.policy,
        "policy_version": decision.policy_version,
        "cost": decision.cost,
        "limit": binding.limit.capacity,
        "remaining": binding.remaining,
        "reset_after_s": binding.reset_after_s,
        "retry_after_s": decision.retry_after_s,
        "refused_by": refused_by.text if refused_by else None,
        "would_deny": decision.would_deny,
        "degraded": decision.degraded,
        "limits": [
            {
                "limit": state.limit.text,
                "capacity": state.limit.capacity,
                "remaining": state.remaining,
                "reset_after_s": state.reset_after_s,
                "retry_after_s": state.retry_after_s,
            }
            for state in decision.limits
        ],
        "headers": {} if is_shadow else dict(as_text(rate_limit_headers(decision))),
    }


class _Companion:
    def __init__(self, limiter: AsyncLimiter, settings: CompanionSettings) -> None:
        self._limiter = limiter
        self._settings = settings
        self._registry = CollectorRegistry()
        self._registry.register(limiter.metrics)

    def routes(self) -> list[Route]:
        """Return all routes; only `/health` needs no key."""
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
            raise HTTPException(
                401, "unknown or missing key; send Authorization: Bearer …", {"WWW-Authenticate": "Bearer"}
            )

    async def _body(self, request: Request) -> bytes:
        maximum = self._settings.body_max_bytes
        length = request.headers.get("content-length", "0")
        body = bytearray()
        if not length.isdecimal() or int(length) <= maximum:
            async for chunk in request.stream():
                body += chunk
                if len(body) > maximum:
                    break
            else:
                return bytes(body)
        raise HTTPException(413, f"the body exceeds {maximum} bytes")

    def _json(self, decision: Decision) -> dict[str, Any]:
        policies = self._limiter.policies
        policy = policies.get(decision.policy)
        return _decision_json(decision, is_shadow=policies.is_shadow or (policy is not None and policy.is_shadow))

    async def _check(self, body: dict[str, Any]) -> Response:
        policy, key, cost, tenant = BodyParser(self._limiter.policies, holds_slots=False).check_request(body)
        return JSONResponse(self._json(await self._limiter.check(policy, key, cost=cost, tenant=tenant)))

    async def _check_many(self, body: dict[str, Any]) -> Response:
        requests = BodyParser(self._limiter.policies, holds_slots=False).check_requests(
            body, self._settings.requests_max
        )
        decisions = await self._limiter.check_many(requests)
        return JSONResponse({"decisions": [self._json(decision) for decision in decisions]})

    async def _peek(self, body: dict[str, Any]) -> Response:
        policy, key, cost, tenant = BodyParser(self._limiter.policies).check_request(body)
        return JSONResponse(self._json(await self._limiter.peek(policy, key, cost=cost, tenant=tenant)))

    async def _refund(self, body: dict[str, Any]) -> Response:
        parser = BodyParser(self._limiter.policies, holds_slots=False)
        policy, key, cost, tenant = parser.check_request(body, "refund_id")
        refund_id = parser.text(body, "refund_id")
        units = await self._limiter.refund(policy, key, cost=cost, tenant=tenant, refund_id=refund_id)
        return JSONResponse({"refunded": units})

    async def _take(self, body: dict[str, Any]) -> Response:
        policy, key, cost, tenant = BodyParser(self._limiter.policies, holds_slots=True).check_request(body)
        try:
            slot = await self._limiter.take_slot(policy, key, cost=cost, tenant=tenant)
        except RateLimitedError as error:
            return JSONResponse({**self._json(error.decision), "slot_id": None, "lease_s": None})
        return JSONResponse({**self._json(slot.decision), "slot_id": slot.id, "lease_s": slot.lease_s})

    def _resume_slot(self, body: dict[str, Any]) -> SlotLease:
        parser = BodyParser(self._limiter.policies, holds_slots=True)
        policy, key, _, tenant = parser.check_request(body, "slot_id")
        return self._limiter.resume_slot(policy, parser.slot_id(body), key, tenant=tenant)

    async def _renew(self, body: dict[str, Any]) -> Response:
        slot = self._resume_slot(body)
        is_renewed = await self._limiter.renew_slot(slot)
        return JSONResponse({"renewed": is_renewed, "lost": slot.is_lost})

    async def _release(self, body: dict[str, Any]) -> Response:
        await self._limiter.release_slot(self._resume_slot(body))
        return Response(status_code=204)

    async def _metrics(self, request: Request) -> Response:
        self._authenticate(request)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def _health(self, _: Request) -> Response:
        # A peek charges nothing and creates no key. Without Redis the companion still answers, by each policy's on_outage.
        policies = self._limiter.policies
        policy = next(iter(policies.values()), None)
        is_away = False
        if policy is not None:
            parts = {part: _PROBE for limit in policy.limits for part in limit.per}
            is_away = (await self._limiter.peek(policy.name, parts)).degraded
        return JSONResponse(
            {
                "status": "degraded" if is_away else "ok",
                "redis": "away" if is_away else "ok",
                "policies": policies.version,
            }
        )
