"""WSGI middleware for Flask, Django and other sync applications, with the policies, rules and fields of asgi.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import redis

from ratelimit_service.decision import Decision
from ratelimit_service.http.addresses import ClientAddress
from ratelimit_service.http.headers import LIMIT_FIELDS, STATUS_TITLES, as_text, rate_limit_headers, refusal
from ratelimit_service.http.middleware import Middleware, check_request
from ratelimit_service.http.request_matcher import CompiledRule
from ratelimit_service.keys import Key
from ratelimit_service.limiter import Limiter
from ratelimit_service.policy import PolicySet
from ratelimit_service.slots import RENEWALS_PER_LEASE, Slot

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
else:
    WSGIEnvironment = dict[str, Any]

T = TypeVar("T")
ENVIRON_KEY = "ratelimit.decision"
"""Key of a request's decision in its environ."""


def remote_user(environ: WSGIEnvironment) -> str | None:
    """Return the user that the server, or an outer middleware, has authenticated."""
    user: str = environ.get("REMOTE_USER", "")
    return user or None


def environ_address(address: ClientAddress) -> Callable[[WSGIEnvironment], str]:
    """Return a function from an environ to the client's address."""
    # Servers join a field that was sent several times by commas, in order.
    name = "HTTP_" + address.header.upper().replace("-", "_")

    def read(environ: WSGIEnvironment) -> str:
        return address.find(environ.get("REMOTE_ADDR"), [environ[name]] if name in environ else ())

    return read


class RateLimitWSGI(Middleware[WSGIEnvironment, Limiter]):
    """Check each request: refuse it, or add what is left of its limits to the response.

    `application = RateLimitWSGI(application, redis_url="redis://localhost:6379/0")`; `Middleware` lists the arguments.
    Call `close` when the service ends. A slot in flight is held until the response's body is closed, and renewed as the
    body is iterated; its lease must outlast the time until the response begins.
    """

    _default_user = staticmethod(remote_user)
    _address_reader = staticmethod(environ_address)

    @staticmethod
    def _make_limiter(redis_url: str, policies: PolicySet) -> Limiter:
        return Limiter(redis.Redis.from_url(redis_url), policies)

    _app: WSGIApplication

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        self.check_routes()
        limiter = self._limiter
        method, path = environ["REQUEST_METHOD"], _path(environ)
        result = _completed(
            check_request(_NeverWaiting(limiter), self._matcher, self._tenant, environ, method=method, path=path)
        )
        if result is None:
            return self._app(environ, start_response)
        rule, decision, slot = result
        if not decision.allowed:
            return _refuse(decision, rule, environ, start_response)
        environ[ENVIRON_KEY] = decision
        start = start_response if rule.is_shadow else _adding_headers(start_response, decision)
        if slot is None:
            return self._app(environ, start)
        try:
            return _SlotHoldingBody(self._app(environ, start), limiter, slot)
        except BaseException:
            limiter.release_slot(slot)
            raise

    def close(self) -> None:
        """Close the limiter if the middleware made it."""
        if self._is_owner:
            self._limiter.close()


class _NeverWaiting:
    # The limiter as `check_request` awaits one.
    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    @property
    def policies(self) -> PolicySet:
        return self._limiter.policies

    async def check(self, policy: str, key: Key, *, cost: int | None, tenant: str | None) -> Decision:
        return self._limiter.check(policy, key, cost=cost, tenant=tenant)

    async def take_slot(self, policy: str, key: Key, *, cost: int | None, tenant: str | None) -> Slot:
        return self._limiter.take_slot(policy, key, cost=cost, tenant=tenant)


def _completed(coroutine: Coroutine[Any, Any, T]) -> T:
    # Return the result of a coroutine that never waits.
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("a WSGI request's check waited")


def _path(environ: WSGIEnvironment) -> str:
    # PEP 3333: bytes decoded as latin-1. SCRIPT_NAME is where the application is mounted, which its router doesn't see.
    path: str = environ.get("PATH_INFO", "")
    return path.encode("latin-1").decode("utf-8", "replace") or "/"


def _adding_headers(start_response: StartResponse, decision: Decision) -> StartResponse:
    fields = rate_limit_headers(decision)

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Callable[[bytes], object]:
        has_own = any(name.lower().encode() in LIMIT_FIELDS for name, _ in headers)
        added = [field for field in fields if not has_own or field[0] not in LIMIT_FIELDS]
        return start_response(status, [*headers, *as_text(added)], *more)

    return start


def _refuse(
    decision: Decision, rule: CompiledRule[WSGIEnvironment], environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    status, headers, body = refusal(decision, rule.policy.on_outage)
    start_response(f"{status} {STATUS_TITLES[status]}", as_text(headers))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


class _SlotHoldingBody:
    """A response's body that holds a slot until it is closed, which PEP 3333 requires of every server."""

    def __init__(self, body: Iterable[bytes], limiter: Limiter, slot: Slot) -> None:
        self._body = body
        self._limiter = limiter
        self._slot = slot

    def __iter__(self) -> Iterator[bytes]:
        interval_s = self._slot.lease_s / RENEWALS_PER_LEASE
        last_renewal_s = time.monotonic()
        for chunk in self._body:
            if time.monotonic() - last_renewal_s > interval_s:
                last_renewal_s = time.monotonic()
                self._limiter.renew_slot(self._slot)
            yield chunk

    def close(self) -> None:
        """Close the application's body and release the slot."""
        try:
            getattr(self._body, "close", lambda: None)()
        finally:
            self._limiter.release_slot(self._slot)
