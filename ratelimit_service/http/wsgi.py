"""WSGI middleware, for Flask, Django and anything else that is sync: the same policies, rules and fields as for ASGI."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import redis

from ratelimit_service.decision import Decision
from ratelimit_service.errors import RateLimitedError, UsageError
from ratelimit_service.http.addresses import ClientAddress
from ratelimit_service.http.bundled import bundled_policies
from ratelimit_service.http.gate import Gate, Name, Part, Route, standard_parts
from ratelimit_service.http.headers import rate_limit_headers, readable, refusal
from ratelimit_service.http.rules import Rule
from ratelimit_service.limiter import Limiter
from ratelimit_service.policy import PolicySet
from ratelimit_service.slots import Slot

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DECISION = "ratelimit.decision"
"""Where a request's environ holds its decision."""
_LIMIT_FIELDS = frozenset({"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"})
_RENEWALS_PER_LEASE = 3


def remote_user(environ: WSGIEnvironment) -> str | None:
    """The user that the server, or a middleware outside of this one, has authenticated."""
    user: str = environ.get("REMOTE_USER", "")
    return user or None


class RateLimitWSGI:
    """Checks each request, refuses those over the limit, and tells the others how much is left.

    `application = RateLimitWSGI(application, redis_url="redis://localhost:6379/0")`

    A slot in flight is held until the response's body is closed and renewed as the body is iterated; its lease must outlast
    the time that the application takes to begin its answer.

    Args:
        app: the application.
        limiter: decides; whoever made it closes it.
        redis_url: instead of a limiter: where Redis is. Call `close` when the service ends.
        policies: with `redis_url`; the bundled ones (100 requests a minute per user or address) if None.
        policy: the policy of requests that no rule fits; None leaves them alone.
        rules: paths and methods with policies of their own; the first that fits counts.
        exempt: paths that are never limited.
        trusted: the proxies in front, for `ClientAddress` with its defaults.
        address: instead of `trusted`: a `ClientAddress` of your own.
        user: from an environ to the authenticated user; it must not be a name that the client merely claims.
        api_key: from an environ to an id of the *verified* API key; None for no or a wrong one.
        tenant: from an environ to the tenant, for the tenants' own limits and the key part `tenant`.
        parts: further key parts, from an environ to a value.

    Raises:
        UsageError: not exactly one of limiter and redis_url, or a rule that fits no policy.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        limiter: Limiter | None = None,
        redis_url: str | None = None,
        policies: PolicySet | None = None,
        policy: str | None = "default",
        rules: Sequence[Rule] = (),
        exempt: Iterable[str] = (),
        trusted: Iterable[str] = (),
        address: ClientAddress | None = None,
        user: Name[WSGIEnvironment] = remote_user,
        api_key: Name[WSGIEnvironment] | None = None,
        tenant: Name[WSGIEnvironment] | None = None,
        parts: Mapping[str, Part[WSGIEnvironment]] | None = None,
    ) -> None:
        self._app = app
        self._is_owner = limiter is None
        self._limiter = limiter or _own_limiter(redis_url, policies)
        if limiter is not None and (redis_url is not None or policies is not None):
            raise UsageError("redis_url and policies are instead of a limiter, which has its own")
        self._tenant = tenant
        standard = standard_parts(
            address=environ_address(address or ClientAddress(trusted)), user=user, api_key=api_key, tenant=tenant
        )
        self._gate: Gate[WSGIEnvironment] = Gate(
            self._limiter.policies, rules=rules, default=policy, exempt=exempt, parts={**standard, **(parts or {})}
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        limiter = self._limiter
        slot: Slot | None = None
        path = _path(environ)
        while True:
            policies = limiter.policies
            route = self._gate.route(policies, environ["REQUEST_METHOD"], path)
            if route is None:
                return self._app(environ, start_response)
            tenant = self._tenant(environ) if self._tenant is not None else None
            key = route.key(environ)
            try:
                if route.may_hold_slots and route.holds_slot(tenant):
                    slot = limiter.take_slot(route.policy.name, key, cost=route.cost, tenant=tenant)
                    decision = slot.decision
                else:
                    decision = limiter.check(route.policy.name, key, cost=route.cost, tenant=tenant)
            except RateLimitedError as error:
                decision = error.decision
            except UsageError:
                # Another thread may have installed other policies since the route was found.
                if limiter.policies is policies:
                    raise
                continue
            break
        if not decision.allowed:
            return _refuse(decision, route, environ, start_response)
        environ[DECISION] = decision
        start = start_response if route.is_shadow else _announcing(start_response, decision)
        if slot is None:
            return self._app(environ, start)
        try:
            return _HeldBody(self._app(environ, start), limiter, slot)
        except BaseException:
            limiter.release_slot(slot)
            raise

    def close(self) -> None:
        """Close the limiter, if the middleware made it."""
        if self._is_owner:
            self._limiter.close()


def _own_limiter(redis_url: str | None, policies: PolicySet | None) -> Limiter:
    if redis_url is None:
        raise UsageError("give the middleware a limiter or a redis_url")
    return Limiter(redis.Redis.from_url(redis_url), policies or bundled_policies())


def environ_address(address: ClientAddress) -> Callable[[WSGIEnvironment], str]:
    """From an environ to the client's address."""
    # Servers join a field that was sent several times by commas, in order.
    name = "HTTP_" + address.header.upper().replace("-", "_")

    def find(environ: WSGIEnvironment) -> str:
        return address.find(environ.get("REMOTE_ADDR"), [environ[name]] if name in environ else ())

    return find


def _path(environ: WSGIEnvironment) -> str:
    # PEP 3333: bytes dressed up as latin-1.
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path.encode("latin-1").decode("utf-8", "replace") or "/"


def _announcing(start_response: StartResponse, decision: Decision) -> StartResponse:
    fields = readable(rate_limit_headers(decision))

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Callable[[bytes], object]:
        has_own = any(name.lower() in _LIMIT_FIELDS for name, _ in headers)
        added = [field for field in fields if not (has_own and field[0].lower() in _LIMIT_FIELDS)]
        return start_response(status, [*headers, *added], *more)

    return start


def _refuse(
    decision: Decision, route: Route[WSGIEnvironment], environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    status, headers, body = refusal(decision, route.policy.on_outage)
    start_response(f"{status} {HTTPStatus(status).phrase}", readable(headers))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


class _HeldBody:
    """A response's body that holds a slot until it is closed, as PEP 3333 has every server do."""

    def __init__(self, body: Iterable[bytes], limiter: Limiter, slot: Slot) -> None:
        self._body = body
        self._limiter = limiter
        self._slot = slot

    def __iter__(self) -> Iterator[bytes]:
        renew_every_s = self._slot.lease_s / _RENEWALS_PER_LEASE
        renewed_s = time.monotonic()
        for chunk in self._body:
            if time.monotonic() - renewed_s > renew_every_s:
                renewed_s = time.monotonic()
                self._limiter.renew_slot(self._slot)
            yield chunk

    def close(self) -> None:
        """Close the application's body and give the slot back."""
        try:
            getattr(self._body, "close", lambda: None)()
        finally:
            self._limiter.release_slot(self._slot)
