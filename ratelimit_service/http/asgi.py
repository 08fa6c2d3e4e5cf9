"""ASGI middleware, for Starlette, FastAPI and anything else: two lines to add, no framework imported.

WebSockets pass untouched, and so does every response but for its header fields: bodies are never held back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio

from ratelimit_service.async_limiter import AsyncLimiter
from ratelimit_service.decision import Decision
from ratelimit_service.errors import RateLimitedError, UsageError
from ratelimit_service.http.addresses import ClientAddress
from ratelimit_service.http.bundled import bundled_policies
from ratelimit_service.http.gate import Gate, Name, Part, Route, standard_parts
from ratelimit_service.http.headers import Headers, rate_limit_headers, refusal
from ratelimit_service.http.rules import Rule
from ratelimit_service.policy import PolicySet
from ratelimit_service.slots import Slot

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DECISION = "ratelimit"
"""Where a request's scope holds its decision."""
_LIMIT_FIELDS = frozenset({b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset"})
_RENEWALS_PER_LEASE = 3


def authenticated_user(scope: Scope) -> str | None:
    """The name in `scope["user"]` if an authentication middleware outside of this one has put somebody there."""
    user = scope.get("user")
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    try:
        return str(user.identity)
    except (AttributeError, NotImplementedError):
        # Starlette's users need not have an identity; SimpleUser has none.
        return str(user.display_name)


class RateLimitMiddleware:
    """Checks each HTTP request, refuses those over the limit, and tells the others how much is left.

    `app.add_middleware(RateLimitMiddleware, redis_url="redis://localhost:6379/0")`, or with a limiter of your own.

    Args:
        app: the application.
        limiter: decides; whoever made it closes it.
        redis_url: instead of a limiter: where Redis is. The middleware then has a limiter of its own, closed when the
            application shuts down.
        policies: with `redis_url`; the bundled ones (100 requests a minute per user or address) if None.
        policy: the policy of requests that no rule fits; None leaves them alone.
        rules: paths and methods with policies of their own; the first that fits counts.
        exempt: paths that are never limited.
        trusted: the proxies in front, for `ClientAddress` with its defaults.
        address: instead of `trusted`: a `ClientAddress` of your own.
        user: from a scope to the authenticated user; it must not be a name that the client merely claims.
        api_key: from a scope to an id of the *verified* API key; None for no or a wrong one.
        tenant: from a scope to the tenant, for the tenants' own limits and the key part `tenant`.
        parts: further key parts, from a scope to a value.

    Raises:
        UsageError: not exactly one of limiter and redis_url, or a rule that fits no policy.
    """

    def __init__(
        self,
        app: App,
        *,
        limiter: AsyncLimiter | None = None,
        redis_url: str | None = None,
        policies: PolicySet | None = None,
        policy: str | None = "default",
        rules: Sequence[Rule] = (),
        exempt: Iterable[str] = (),
        trusted: Iterable[str] = (),
        address: ClientAddress | None = None,
        user: Name[Scope] = authenticated_user,
        api_key: Name[Scope] | None = None,
        tenant: Name[Scope] | None = None,
        parts: Mapping[str, Part[Scope]] | None = None,
    ) -> None:
        self._app = app
        self._is_owner = limiter is None
        self._limiter = limiter or _own_limiter(redis_url, policies)
        if limiter is not None and (redis_url is not None or policies is not None):
            raise UsageError("redis_url and policies are instead of a limiter, which has its own")
        self._tenant = tenant
        standard = standard_parts(
            address=scope_address(address or ClientAddress(trusted)), user=user, api_key=api_key, tenant=tenant
        )
        self._gate = Gate(
            self._limiter.policies, rules=rules, default=policy, exempt=exempt, parts={**standard, **(parts or {})}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, self._closing(send) if scope["type"] == "lifespan" else send)
            return
        asked = await ask(self._limiter, self._gate, self._tenant, scope)
        if asked is None:
            await self._app(scope, receive, send)
            return
        route, decision, slot = asked
        if not decision.allowed:
            await refuse(decision, route, scope, send)
            return
        scope[DECISION] = decision
        send = send if route.is_shadow else announcing(send, rate_limit_headers(decision))
        if slot is None:
            await self._app(scope, receive, send)
            return
        async with held(self._limiter, slot):
            await self._app(scope, receive, send)

    def _closing(self, send: Send) -> Send:
        if not self._is_owner:
            return send

        async def closing(message: Message) -> None:
            if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await self._limiter.aclose()
            await send(message)

        return closing


def _own_limiter(redis_url: str | None, policies: PolicySet | None) -> AsyncLimiter:
    if redis_url is None:
        raise UsageError("give the middleware a limiter or a redis_url")
    return AsyncLimiter(redis.asyncio.from_url(redis_url), policies or bundled_policies())


def scope_address(address: ClientAddress) -> Callable[[Scope], str]:
    """From a scope to the client's address."""
    name = address.header.encode()
    find_one = address.find

    def find_peer(scope: Scope) -> str:
        client = scope.get("client")
        return find_one(client[0] if client else None)

    def find(scope: Scope) -> str:
        client = scope.get("client")
        peer = client[0] if client else None
        return find_one(peer, [value.decode("latin-1") for field, value in scope["headers"] if field == name])

    return find if address.reads_header else find_peer


def announcing(send: Send, headers: Headers) -> Send:
    """A `send` that adds header fields to the response.

    If the application has set X-RateLimit fields itself, of a limit nearer to the route, these stay the only ones.
    """

    async def announce(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [*message.get("headers", ())]
            added = headers
            for name, _ in own:
                if name in _LIMIT_FIELDS:
                    added = [field for field in headers if field[0] not in _LIMIT_FIELDS]
                    break
            message = {**message, "headers": own + added}
        await send(message)

    return announce


async def refuse(decision: Decision, route: Route[Scope], scope: Scope, send: Send) -> None:
    """Answer a request that was refused."""
    status, headers, body = refusal(decision, route.policy.on_outage)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def ask(
    limiter: AsyncLimiter, gate: Gate[Scope], tenant_of: Name[Scope] | None, scope: Scope
) -> tuple[Route[Scope], Decision, Slot | None] | None:
    """Decide on a request: its route, the decision, and the slot if it holds one now; None if it is not limited."""
    while True:
        policies = limiter.policies
        route = gate.route(policies, scope["method"], scope["path"])
        if route is None:
            return None
        tenant = tenant_of(scope) if tenant_of is not None else None
        key = route.key(scope)
        try:
            if route.may_hold_slots and route.holds_slot(tenant):
                slot = await limiter.take_slot(route.policy.name, key, cost=route.cost, tenant=tenant)
                return route, slot.decision, slot
            return route, await limiter.check(route.policy.name, key, cost=route.cost, tenant=tenant), None
        except RateLimitedError as error:
            return route, error.decision, None
        except UsageError:
            # Another thread may have installed other policies since the route was found.
            if limiter.policies is policies:
                raise


@asynccontextmanager
async def held(limiter: AsyncLimiter, slot: Slot) -> AsyncIterator[None]:
    """Renew a slot well within each lease while a block runs, then give it back."""
    renewing = asyncio.ensure_future(_keep(limiter, slot))
    try:
        yield
    finally:
        renewing.cancel()
        await limiter.release_slot(slot)


async def _keep(limiter: AsyncLimiter, slot: Slot) -> None:
    while not slot.is_lost:
        await asyncio.sleep(slot.lease_s / _RENEWALS_PER_LEASE)
        await limiter.renew_slot(slot)
