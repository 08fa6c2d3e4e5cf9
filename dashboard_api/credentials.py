"""Verifies the credential before the limiter counts, so that a user is counted as such wherever the requests come from.

A name that is merely claimed is never counted by: a request without a credential that holds counts by its address, and so
does the first one with an API key, whose look-up in the database is thereby limited too.
"""

from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard_api.auth import Authenticator, Identity
from dbconnect import SalespulseError

_IDENTITY = "salespulse.identity"
_PROTECTED = "/api/"


class Credentials:
    """Puts the verified identity, or why there is none, into the scope."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with its identity."""
        if scope["type"] == "http" and scope["path"].startswith(_PROTECTED):
            try:
                scope[_IDENTITY] = await self._authenticator.identify_at_once(*credentials_of(scope))
            except SalespulseError as error:
                scope[_IDENTITY] = error
        await self._app(scope, receive, send)


def credentials_of(scope: Scope) -> tuple[str | None, str | None]:
    """The headers `Authorization` and `X-API-Key`, each the first of its name."""
    headers = dict(reversed(scope["headers"]))
    authorization, api_key = headers.get(b"authorization"), headers.get(b"x-api-key")
    return authorization and authorization.decode("latin-1"), api_key and api_key.decode("latin-1")


def identity_or_refusal(scope: Scope) -> Identity | SalespulseError | None:
    """What was found: an identity, why there is none, or None where the database has to be asked."""
    found: Identity | SalespulseError | None = scope.get(_IDENTITY)
    return found


def user_of(scope: MutableMapping[str, Any]) -> str | None:
    """Whom the limiter counts: subjects are unique within their tenant only."""
    found = scope.get(_IDENTITY)
    return f"{found.tenant_id}\n{found.subject}" if isinstance(found, Identity) else None


def tenant_of(scope: MutableMapping[str, Any]) -> str | None:
    """Whose limits hold, where the policies have some for a tenant."""
    found = scope.get(_IDENTITY)
    return found.tenant_id if isinstance(found, Identity) else None
