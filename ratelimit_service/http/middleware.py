"""What the ASGI and WSGI middlewares share: their arguments, and how they come to a limiter and a matcher."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, Unpack, get_args

from ratelimit_service.async_limiter import AsyncLimiter
from ratelimit_service.decision import Decision
from ratelimit_service.errors import RateLimitedError, UsageError
from ratelimit_service.http.addresses import ClientAddress
from ratelimit_service.http.request_matcher import (
    CompiledRule,
    IdentityOptions,
    R,
    ReadName,
    RequestMatcher,
    Rule,
    identity_parts,
)
from ratelimit_service.http.routes import RouteCheck
from ratelimit_service.keys import Key
from ratelimit_service.limiter import Limiter
from ratelimit_service.policy import PolicySet
from ratelimit_service.policy_file import bundled_policies
from ratelimit_service.slots import Slot

L = TypeVar("L", Limiter, AsyncLimiter)


class AwaitedLimiter(Protocol):
    """What `check_request` needs of a limiter."""

    @property
    def policies(self) -> PolicySet:
        """The policies in force."""

    async def check(self, policy: str, key: Key, *, cost: int | None, tenant: str | None) -> Decision:
        """Return the decision on a request."""

    async def take_slot(self, policy: str, key: Key, *, cost: int | None, tenant: str | None) -> Slot:
        """Take a slot in flight."""


class Checked(NamedTuple, Generic[R]):
    """The outcome of a request's check: its rule, the decision, and the slot that it holds, if any."""

    rule: CompiledRule[R]
    decision: Decision
    slot: Slot | None


async def check_request(
    limiter: AwaitedLimiter,
    matcher: RequestMatcher[R],
    read_tenant: ReadName[R] | None,
    request: R,
    *,
    method: str,
    path: str,
) -> Checked[R] | None:
    """Decide on a request; None if it is not limited.

    Args:
        limiter: decides. It alone waits, so that a limiter that never does makes this an ordinary function.
        matcher: finds the rule.
        read_tenant: returns the request's tenant.
        request: an ASGI scope or a WSGI environ.
        method: the request's.
        path: as the application's router gets it.
    """
    while True:
        policies = limiter.policies
        rule = matcher.match(policies, method, path)
        if rule is None:
            return None
        tenant = read_tenant(request) if read_tenant is not None else None
        key = rule.read_key(request)
        try:
            if rule.holds_slot(tenant):
                slot = await limiter.take_slot(rule.policy.name, key, cost=rule.cost, tenant=tenant)
                return Checked(rule, slot.decision, slot)
            return Checked(rule, await limiter.check(rule.policy.name, key, cost=rule.cost, tenant=tenant), None)
        except RateLimitedError as error:
            return Checked(rule, error.decision, None)
        except UsageError:
            # Another thread may have installed other policies since the match.
            if limiter.policies is policies:
                raise


class Middleware(Generic[R, L]):
    """Base of both middlewares.

    Args:
        app: the application.
        limiter: decides; close it yourself.
        redis_url: instead of a limiter: the Redis of a limiter that the middleware makes and closes.
        policies: with `redis_url`; by default the bundled ones (100 requests a minute per user or address).
        policy: the policy of requests that match no rule; None leaves them unlimited.
        rules: paths and methods with policies of their own; the first that matches counts.
        exempt: paths that are never limited.
        route_check: what is compared with the application's routes before the first request: `rules`, an error names
            each rule that matches no route; `all`, also each route without a rule or exemption; `off`, nothing. It needs
            Starlette, FastAPI, Flask or Django.
        identity: who a request counts for; see `IdentityOptions`. The functions take a scope (WSGI: an environ).

    Raises:
        UsageError: not exactly one of limiter and redis_url, or a rule without a usable policy.
    """

    _default_user: ReadName[R]
    _address_reader: Callable[[ClientAddress], Callable[[R], str]]

    def __init__(
        self,
        app: Any,
        *,
        limiter: L | None = None,
        redis_url: str | None = None,
        policies: PolicySet | None = None,
        policy: str | None = "default",
        rules: Sequence[Rule] = (),
        exempt: Iterable[str] = (),
        route_check: RouteCheck = "rules",
        **identity: Unpack[IdentityOptions[R]],
    ) -> None:
        if limiter is not None and (redis_url is not None or policies is not None):
            raise UsageError("redis_url and policies are instead of a limiter, which has its own")
        if limiter is None and redis_url is None:
            raise UsageError("pass a limiter or a redis_url to the middleware")
        if route_check not in get_args(RouteCheck):
            raise UsageError(f"route_check must be one of {', '.join(get_args(RouteCheck))}, not {route_check!r}")
        self._app = app
        self._route_check: RouteCheck = route_check
        self._root_path: str | None = None
        self._is_owner = limiter is None
        self._limiter: L = limiter or self._make_limiter(str(redis_url), policies or bundled_policies())
        self._tenant = identity.get("tenant")
        parts = identity_parts(identity, address_reader=self._address_reader, default_user=self._default_user)
        self._matcher: RequestMatcher[R] = RequestMatcher(
            self._limiter.policies, rules=rules, default=policy, exempt=exempt, parts=parts
        )

    def check_routes(self) -> str:
        """Compare the rules with the application's routes, which are complete now; return its own `root_path`.

        ASGI servers that send lifespan events get this done at start-up, others with the first request.

        Raises:
            UsageError: rules match no route, or routes have no rule where `route_check` demands one.
        """
        if self._root_path is None:
            self._root_path = self._matcher.check_routes(self._app, self._route_check)
        return self._root_path

    @staticmethod
    def _make_limiter(redis_url: str, policies: PolicySet) -> L:
        raise NotImplementedError
