"""From a request's credential headers to a verified identity, and to the caller with the tenant's surrogate key.

Tokens, API keys and tenants are each cached where they are verified (`access_tokens`, `api_keys`, `tenants`).
"""

import time
from collections.abc import Callable

from dashboard_api.auth.access_tokens import TokenVerifier
from dashboard_api.auth.api_keys import PREFIX, ApiKeyVerifier
from dashboard_api.auth.identity import Caller, Identity
from dashboard_api.auth.tenants import TenantKeys
from dashboard_api.errors import ForbiddenError, UnauthenticatedError
from dbconnect import ReadRouter, SalespulseError, Settings

# How long this process may still accept a revoked key or a deleted tenant.
CREDENTIAL_CACHE_S = 30.0


class Authenticator:
    """Verify credentials, check roles, and look up tenants.

    Args:
        settings: `dashboard_roles` may read the dashboard.
        router: connections to the database, for API keys and tenants.
        verifier: verifies access tokens.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        router: ReadRouter,
        verifier: TokenVerifier,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._roles = frozenset(settings.dashboard_roles)
        self._verifier = verifier
        self._tenants = TenantKeys(router, cache_s=CREDENTIAL_CACHE_S, clock=clock)
        self._api_keys = ApiKeyVerifier(router, cache_s=CREDENTIAL_CACHE_S, clock=clock)

    async def verify_locally(self, authorization: str | None, api_key: str | None) -> Identity | None:
        """Return the identity without asking the database; None for an API key that is not cached.

        Credentials are `Authorization: Bearer <token or key>` or `X-API-Key: <key>`.

        Raises:
            UnauthenticatedError: the credential is missing or invalid.
            NotReadyError: the keys to verify it with are not available.
        """
        credential = _credential(authorization, api_key)
        if credential.startswith(PREFIX):
            return self._api_keys.cached(credential)
        return await self._verifier.verify(credential)

    async def verify(
        self, outcome: Identity | SalespulseError | None, headers: Callable[[], tuple[str | None, str | None]]
    ) -> Identity:
        """Return the identity, if its role may read the dashboard. The tenant need not have figures yet.

        Args:
            outcome: what `verify_locally` returned or raised.
            headers: returns the headers `Authorization` and `X-API-Key`; called only where the database must be asked.

        Raises:
            UnauthenticatedError: see `verify_locally`.
            ForbiddenError: the role may not read the dashboard.
            NotReadyError: see `verify_locally`.
        """
        if isinstance(outcome, SalespulseError):
            raise outcome
        identity = outcome or await self._api_keys.verify(_credential(*headers()))
        if identity.role not in self._roles:
            raise ForbiddenError(f"the role must be one of {', '.join(sorted(self._roles))}")
        return identity

    async def authorize(
        self, outcome: Identity | SalespulseError | None, headers: Callable[[], tuple[str | None, str | None]]
    ) -> Caller:
        """Return the caller: the identity, and the key of the tenant whose rows the response may contain.

        Args:
            outcome: see `verify`.
            headers: see `verify`.

        Raises:
            UnauthenticatedError: see `verify`.
            ForbiddenError: the role may not read the dashboard, or the tenant is unknown.
            NotReadyError: see `verify`.
        """
        identity = await self.verify(outcome, headers)
        tenant_key = await self._tenants.key_of(identity.tenant_id)
        if tenant_key is None:
            raise ForbiddenError("the credential's tenant is unknown; a new tenant appears with its first refresh")
        return Caller(identity, tenant_key)


def _credential(authorization: str | None, api_key: str | None) -> str:
    scheme, _, credential = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer" and credential.strip():
        return credential.strip()
    if authorization:
        raise UnauthenticatedError("malformed Authorization header; send `Bearer` and a token")
    if not api_key:
        raise UnauthenticatedError(
            "no credential; send a token as `Authorization: Bearer …`, or a key as `X-API-Key: …`"
        )
    if not api_key.strip().startswith(PREFIX):
        raise UnauthenticatedError("malformed API key")
    return api_key.strip()
