"""A FastAPI dependency for limits of single endpoints. Needs FastAPI.

```python
limits = RateLimits(limiter)
app = FastAPI(exception_handlers=limits.handlers)


@app.post("/reports", dependencies=[limits("export", cost=5)])
async def make_report() -> dict[str, str]: ...
```

For a whole service use the middleware, which refuses before anything else runs.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Unpack

from fastapi import Depends, Request, Response, WebSocket
from starlette.requests import HTTPConnection

from ratelimit_service.async_limiter import AsyncLimiter
from ratelimit_service.decision import Decision
from ratelimit_service.errors import RateLimitedError
from ratelimit_service.http.asgi import (
    SCOPE_KEY,
    Scope,
    authenticated_user,
    renewed_slot,
    scope_address,
)
from ratelimit_service.http.headers import as_text, rate_limit_headers, refusal
from ratelimit_service.http.middleware import check_request
from ratelimit_service.http.request_matcher import (
    ANY_ROUTE,
    ROUTE_PART,
    IdentityOptions,
    RequestMatcher,
    Rule,
    identity_parts,
)
from ratelimit_service.policy import OnOutage

_POLICY_VIOLATION = 1008
Handler = Callable[[Any, Any], Awaitable[Response | None]]


class RateLimits:
    """Make dependencies that check an endpoint's requests; of a WebSocket endpoint, each connection before it is accepted.

    FastAPI passes a dependency's header fields on only to responses that it makes itself: an endpoint that returns a
    `Response` must add them, from `headers(request)`.

    Args:
        limiter: decides; close it yourself.
        identity: who a request counts for; see `IdentityOptions`. The functions take a scope.
    """

    def __init__(self, limiter: AsyncLimiter, **identity: Unpack[IdentityOptions[Scope]]) -> None:
        self._limiter = limiter
        self._tenant = identity.get("tenant")
        parts = identity_parts(identity, address_reader=scope_address, default_user=authenticated_user)
        self._parts = {ROUTE_PART: _route_path, **parts}

    def __call__(self, policy: str, *, cost: int | None = None) -> Any:
        """Return a dependency (of `Depends`) that yields the request's decision; None if a reload removed its policy.

        Args:
            policy: the policy's name; if it has a limit in flight, the slot is held until the endpoint is done.
            cost: units; None is the policy's own.

        Raises:
            UsageError: the policy is unknown, or counts per an unknown part.
        """
        matcher = RequestMatcher(
            self._limiter.policies,
            rules=[Rule(ANY_ROUTE, policy, cost=cost)],
            default=None,
            exempt=(),
            parts=self._parts,
        )

        async def check(connection: HTTPConnection, response: Response) -> AsyncIterator[Decision | None]:
            scope = connection.scope
            result = await check_request(
                self._limiter, matcher, self._tenant, scope, method=scope.get("method", "GET"), path=scope["path"]
            )
            if result is None:
                yield None
                return
            rule, decision, slot = result
            if not decision.allowed:
                raise RateLimitedError(decision)
            scope[SCOPE_KEY] = decision
            if not rule.is_shadow:
                response.headers.update(self.headers(connection))
            if slot is None:
                yield decision
                return
            async with renewed_slot(self._limiter, slot):
                yield decision

        return Depends(check)

    @property
    def handlers(self) -> dict[Any, Handler]:
        """Handlers for `FastAPI(exception_handlers=…)`, which respond to refused requests."""
        return {RateLimitedError: self._respond}

    async def _respond(self, connection: Request | WebSocket, error: RateLimitedError) -> Response | None:
        decision = error.decision
        policy = self._limiter.policies.get(decision.policy)
        status, headers, body = refusal(decision, policy.on_outage if policy else OnOutage.OPEN)
        response = Response(body, status, dict(as_text(headers)))
        if isinstance(connection, WebSocket):
            # A server without this extension can only refuse by 403.
            if "websocket.http.response" in connection.scope.get("extensions", {}):
                await connection.send_denial_response(response)
            else:
                await connection.close(_POLICY_VIOLATION)
            return None
        return Response(b"", status, response.headers) if connection.method == "HEAD" else response

    @staticmethod
    def headers(request: HTTPConnection) -> dict[str, str]:
        """Return the fields of a request's last decision, for endpoints that return a `Response`."""
        decision = request.scope.get(SCOPE_KEY)
        return dict(as_text(rate_limit_headers(decision))) if decision is not None else {}


def _route_path(scope: Scope) -> str:
    return str(scope["route"].path)
