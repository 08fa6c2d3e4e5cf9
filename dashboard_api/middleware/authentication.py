"""Verify credentials before the rate limiter counts, so that a user is counted as such from whatever address.

A claimed but unverified name is never counted by: a request without a valid credential counts by its address, and so does the first
request with an API key, which limits the look-ups of keys in the database too.
"""

from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard_api.auth import Authenticator, Identity
from dbconnect import SalespulseError

_IDENTITY = "salespulse.identity"
_PROTECTED = "/api/"


class AuthenticationMiddleware:
    """Put the verified identity, or the error of the verification, into the scope."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Verify the request's credential without the database, and pass the request on."""
        if scope["type"] == "http" and scope["path"].startswith(_PROTECTED):
            try:
                scope[_IDENTITY] = await self._authenticator.verify_locally(*credential_headers(scope))
            except SalespulseError as error:
                scope[_IDENTITY] = error
        await self._app(scope, receive, send)


def credential_headers(scope: Scope) -> tuple[str | None, str | None]:
    """Return the headers `Authorization` and `X-API-Key`, each the first of its name."""
    headers = dict(reversed(scope["headers"]))
    authorization, api_key = headers.get(b"authorization"), headers.get(b"x-api-key")
    return authorization and authorization.decode("latin-1"), api_key and api_key.decode("latin-1")


def local_verification(scope: Scope) -> Identity | SalespulseError | None:
    """Return what `Authenticator.verify_locally` returned or raised for this request."""
    outcome: Identity | SalespulseError | None = scope.get(_IDENTITY)
    return outcome


def rate_limit_user(scope: MutableMapping[str, Any]) -> str | None:
    """Return the key that the rate limiter counts a verified user by: subjects are unique only within their tenant."""
    identity = scope.get(_IDENTITY)
    return f"{identity.tenant_id}\n{identity.subject}" if isinstance(identity, Identity) else None


def rate_limit_tenant(scope: MutableMapping[str, Any]) -> str | None:
    """Return the verified user's tenant, for policies with limits per tenant."""
    identity = scope.get(_IDENTITY)
    return identity.tenant_id if isinstance(identity, Identity) else None
