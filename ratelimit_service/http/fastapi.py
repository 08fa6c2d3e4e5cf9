"""A FastAPI dependency: limits that single endpoints name themselves. Needs FastAPI.

```python
limits = RateLimits(limiter)
app = FastAPI(exception_handlers=limits.handlers)


@app.post("/reports", dependencies=[limits("export", cost=5)])
async def make_report() -> dict[str, str]: ...
```

Whole services are better limited by the middleware, which refuses before anything else runs.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

from fastapi import Depends, Request, Response

from ratelimit_service.async_limiter import AsyncLimiter
from ratelimit_service.decision import Decision
from ratelimit_service.errors import RateLimitedError
from ratelimit_service.http.addresses import ClientAddress
from ratelimit_service.http.asgi import DECISION, Scope, ask, authenticated_user, held, scope_address
from ratelimit_service.http.gate import ANY_ROUTE, ROUTE_PART, Gate, Name, Part, standard_parts
from ratelimit_service.http.headers import rate_limit_headers, readable, refusal
from ratelimit_service.http.rules import Rule
from ratelimit_service.policy import OnOutage

Handler = Callable[[Request, Any], Awaitable[Response]]


class RateLimits:
    """Makes dependencies that check an endpoint's requests.

    An endpoint that returns a `Response` of its own must add the fields itself, from `headers(request)`: FastAPI passes
    a dependency's fields on only to responses that it makes.

    Args:
        limiter: decides; whoever made it closes it.
        trusted: the proxies in front, for `ClientAddress` with its defaults.
        address: instead of `trusted`: a `ClientAddress` of your own.
        user: from a scope to the authenticated user.
        api_key: from a scope to an id of the *verified* API key.
        tenant: from a scope to the tenant.
        parts: further key parts, from a scope to a value.
    """

    def __init__(
        self,
        limiter: AsyncLimiter,
        *,
        trusted: Iterable[str] = (),
        address: ClientAddress | None = None,
        user: Name[Scope] = authenticated_user,
        api_key: Name[Scope] | None = None,
        tenant: Name[Scope] | None = None,
        parts: Mapping[str, Part[Scope]] | None = None,
    ) -> None:
        self._limiter = limiter
        self._tenant = tenant
        standard = standard_parts(
            address=scope_address(address or ClientAddress(trusted)), user=user, api_key=api_key, tenant=tenant
        )
        self._parts = {**standard, ROUTE_PART: _route_path, **(parts or {})}

    def __call__(self, policy: str, *, cost: int | None = None) -> Any:
        """A dependency (the result of `Depends`) that yields the request's decision; None if a reload took its policy away.

        Args:
            policy: the policy's name; if it has a limit in flight, the slot is held until the endpoint is done.
            cost: units; None is the policy's own.

        Raises:
            UsageError: there is no such policy, or it counts per an unknown part.
        """
        gate = Gate(
            self._limiter.policies,
            rules=[Rule(ANY_ROUTE, policy, cost=cost)],
            default=None,
            exempt=(),
            parts=self._parts,
        )

        async def check(request: Request, response: Response) -> AsyncIterator[Decision | None]:
            asked = await ask(self._limiter, gate, self._tenant, request.scope)
            if asked is None:
                yield None
                return
            route, decision, slot = asked
            if not decision.allowed:
                raise RateLimitedError(decision)
            request.scope[DECISION] = decision
            if not route.is_shadow:
                response.headers.update(self.headers(request))
            if slot is None:
                yield decision
                return
            async with held(self._limiter, slot):
                yield decision

        return Depends(check)

    @property
    def handlers(self) -> dict[Any, Handler]:
        """For `FastAPI(exception_handlers=…)`: answers what a dependency refused."""
        return {RateLimitedError: self._respond}

    async def _respond(self, request: Request, error: RateLimitedError) -> Response:
        decision = error.decision
        named = self._limiter.policies.get(decision.policy)
        status, headers, body = refusal(decision, named.on_outage if named else OnOutage.OPEN)
        return Response(b"" if request.method == "HEAD" else body, status, dict(readable(headers)))

    @staticmethod
    def headers(request: Request) -> dict[str, str]:
        """The fields of the last decision on a request, for endpoints that return a `Response` of their own."""
        decision = request.scope.get(DECISION)
        return dict(readable(rate_limit_headers(decision))) if decision is not None else {}


def _route_path(scope: Scope) -> str:
    return str(scope["route"].path)
