"""ASGI middleware for Starlette, FastAPI and any other ASGI application; imports no framework.

WebSockets pass untouched. Responses get header fields; their bodies are never held back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio

from ratelimit_service.async_limiter import AsyncLimiter
from ratelimit_service.decision import Decision
from ratelimit_service.errors import UsageError
from ratelimit_service.http.addresses import ClientAddress
from ratelimit_service.http.headers import LIMIT_FIELDS, Headers, rate_limit_headers, refusal
from ratelimit_service.http.middleware import Middleware, check_request
from ratelimit_service.http.request_matcher import CompiledRule
from ratelimit_service.http.routes import path_below
from ratelimit_service.policy import PolicySet
from ratelimit_service.slots import RENEWALS_PER_LEASE, Slot

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SCOPE_KEY = "ratelimit"
"""Key of a request's decision in its scope."""
_LAST_EVENTS = frozenset({"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"})


def authenticated_user(scope: Scope) -> str | None:
    """Return the name in `scope["user"]`, if an outer authentication middleware has set an authenticated user."""
    user = scope.get("user")
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    try:
        return str(user.identity)
    except (AttributeError, NotImplementedError):
        # Starlette's users need not have an identity; SimpleUser has none.
        return str(user.display_name)


def scope_address(address: ClientAddress) -> Callable[[Scope], str]:
    """Return a function from a scope to the client's address."""
    name = address.header.encode()

    def read(scope: Scope) -> str:
        client = scope.get("client")
        peer = client[0] if client else None
        if not address.reads_header:
            return address.find(peer)
        return address.find(peer, [value.decode("latin-1") for field, value in scope["headers"] if field == name])

    return read


class RateLimitMiddleware(Middleware[Scope, AsyncLimiter]):
    """Check each HTTP request: refuse it, or add what is left of its limits to the response.

    `app.add_middleware(RateLimitMiddleware, redis_url="redis://localhost:6379/0")`; `Middleware` lists the arguments. A
    limiter of the middleware's own is closed when the application shuts down.
    """

    _default_user = staticmethod(authenticated_user)
    _address_reader = staticmethod(scope_address)

    @staticmethod
    def _make_limiter(redis_url: str, policies: PolicySet) -> AsyncLimiter:
        return AsyncLimiter(redis.asyncio.from_url(redis_url), policies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, self._closing(send))
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root_path = self.check_routes() or scope.get("root_path", "")
        path = path_below(root_path, scope["path"])
        result = await check_request(
            self._limiter, self._matcher, self._tenant, scope, method=scope["method"], path=path
        )
        if result is None:
            await self._app(scope, receive, send)
            return
        rule, decision, slot = result
        if not decision.allowed:
            await _send_refusal(decision, rule, scope, send)
            return
        scope[SCOPE_KEY] = decision
        send = send if rule.is_shadow else _adding_headers(send, rate_limit_headers(decision))
        if slot is None:
            await self._app(scope, receive, send)
            return
        async with renewed_slot(self._limiter, slot):
            await self._app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.check_routes()
        except UsageError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await self._app(scope, receive, send)

    def _closing(self, send: Send) -> Send:
        async def closing(message: Message) -> None:
            if self._is_owner and message["type"] in _LAST_EVENTS:
                await self._limiter.aclose()
            await send(message)

        return closing


def _adding_headers(send: Send, headers: Headers) -> Send:
    # X-RateLimit fields that the application has set, of a limit nearer to the route, stay the only ones.
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            fields = [*message.get("headers", ())]
            has_own = any(name in LIMIT_FIELDS for name, _ in fields)
            fields += [field for field in headers if field[0] not in LIMIT_FIELDS] if has_own else headers
            message = {**message, "headers": fields}
        await send(message)

    return send_with_headers


async def _send_refusal(decision: Decision, rule: CompiledRule[Scope], scope: Scope, send: Send) -> None:
    status, headers, body = refusal(decision, rule.policy.on_outage)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


@asynccontextmanager
async def renewed_slot(limiter: AsyncLimiter, slot: Slot) -> AsyncIterator[None]:
    """Renew a slot well within each lease while a block runs, then release it."""
    renewal = asyncio.ensure_future(_renew(limiter, slot))
    try:
        yield
    finally:
        renewal.cancel()
        await limiter.release_slot(slot)


async def _renew(limiter: AsyncLimiter, slot: Slot) -> None:
    while not slot.is_lost:
        await asyncio.sleep(slot.lease_s / RENEWALS_PER_LEASE)
        await limiter.renew_slot(slot)
