"""What the ASGI and WSGI middlewares share: their arguments, and how they come to a limiter and a matcher."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar, Unpack

from ratelimit_service.async_limiter import AsyncLimiter
from ratelimit_service.errors import UsageError
from ratelimit_service.http.addresses import ClientAddress
from ratelimit_service.http.request_matcher import IdentityOptions, R, ReadName, RequestMatcher, Rule, identity_parts
from ratelimit_service.limiter import Limiter
from ratelimit_service.policy import PolicySet
from ratelimit_service.policy_file import bundled_policies

L = TypeVar("L", Limiter, AsyncLimiter)


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
        **identity: Unpack[IdentityOptions[R]],
    ) -> None:
        if limiter is not None and (redis_url is not None or policies is not None):
            raise UsageError("redis_url and policies are instead of a limiter, which has its own")
        if limiter is None and redis_url is None:
            raise UsageError("pass a limiter or a redis_url to the middleware")
        self._app = app
        self._is_owner = limiter is None
        self._limiter: L = limiter or self._make_limiter(str(redis_url), policies or bundled_policies())
        self._tenant = identity.get("tenant")
        parts = identity_parts(identity, address_reader=self._address_reader, default_user=self._default_user)
        self._matcher: RequestMatcher[R] = RequestMatcher(
            self._limiter.policies, rules=rules, default=policy, exempt=exempt, parts=parts
        )

    @staticmethod
    def _make_limiter(redis_url: str, policies: PolicySet) -> L:
        raise NotImplementedError
