"""From a request's headers to a verified caller and the tenant's surrogate key."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString

from dashboard_api.auth.api_keys import PREFIX, hash_api_key
from dashboard_api.auth.identity import Identity
from dashboard_api.auth.tenants import TenantKeys
from dashboard_api.auth.tokens import TokenVerifier
from dashboard_api.errors import ForbiddenError, UnauthenticatedError
from dbconnect import Read, ReadRouter, SalespulseError, Settings
from dbconnect.routes import AsyncConnection
from dbsql import query

# How long a revoked key or a deleted tenant may still be answered by this process.
REMEMBER_S = 30.0
_REMEMBERED = 10_000
_KEY_MAX = 100


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified caller who may read the dashboard of the tenant behind `tenant_key`."""

    identity: Identity
    tenant_key: int


class Authenticator:
    """Verifies credentials and looks up tenants; remembers both for a while, in bounded memory."""

    def __init__(
        self,
        settings: Settings,
        router: ReadRouter,
        verifier: TokenVerifier,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._roles = frozenset(settings.dashboard_roles)
        self._router = router
        self._verifier = verifier
        self._clock = clock
        self._tenants = TenantKeys(router, remember_s=REMEMBER_S, clock=clock)
        self._api_keys: OrderedDict[bytes, tuple[Identity | None, float]] = OrderedDict()

    async def identify_at_once(self, authorization: str | None, api_key: str | None) -> Identity | None:
        """Give who asks, without asking the database: None for an API key that this process has not seen lately.

        Credentials are `Authorization: Bearer <token or key>` or `X-API-Key: <key>`.

        Raises:
            UnauthenticatedError: there is none, or it doesn't hold.
            NotReadyError: it can't be verified just now.
        """
        credential = _credential(authorization, api_key)
        if not credential.startswith(PREFIX):
            return await self._verifier.verify(credential)
        known = self._api_keys.get(_digest(credential))
        if known is None or known[1] <= self._clock():
            return None
        return _identity_of_key(known[0])

    async def identify(
        self, found: Identity | SalespulseError | None, credentials: Callable[[], tuple[str | None, str | None]]
    ) -> Identity:
        """Give who asks, if the role may read the dashboard. The tenant need not have any figures yet.

        Args:
            found: what `identify_at_once` gave or raised.
            credentials: gives the headers `Authorization` and `X-API-Key`; asked only where the database has to be.

        Raises:
            UnauthenticatedError: see `identify_at_once`.
            ForbiddenError: the role may not read the dashboard.
            NotReadyError: see `identify_at_once`.
        """
        if isinstance(found, SalespulseError):
            raise found
        identity = found or await self._identify_key(_credential(*credentials()))
        if identity.role not in self._roles:
            raise ForbiddenError(f"the role must be one of {', '.join(sorted(self._roles))}")
        return identity

    async def authenticate(
        self, found: Identity | SalespulseError | None, credentials: Callable[[], tuple[str | None, str | None]]
    ) -> Caller:
        """Give who asks and which tenant's rows the answer may hold.

        Args:
            found: what `identify_at_once` gave or raised.
            credentials: gives the headers `Authorization` and `X-API-Key`; asked only where nothing was found.

        Raises:
            UnauthenticatedError: see `identify_at_once`.
            ForbiddenError: the role may not read the dashboard, or the tenant is not known.
            NotReadyError: see `identify_at_once`.
        """
        identity = await self.identify(found, credentials)
        tenant_key = await self._tenants.key_of(identity.tenant_id)
        if tenant_key is None:
            raise ForbiddenError("the credential's tenant is not known here (yet: it appears with its first refresh)")
        return Caller(identity, tenant_key)

    async def _identify_key(self, key: str) -> Identity:
        digest = _digest(key)
        found = await self._read_key(digest)
        self._api_keys[digest] = (found, self._clock() + REMEMBER_S)
        self._api_keys.move_to_end(digest)
        if len(self._api_keys) > _REMEMBERED:
            self._api_keys.popitem(last=False)
        return _identity_of_key(found)

    async def _read_key(self, digest: bytes) -> Identity | None:
        row = await self._first(query("dashboard.api_key_identity"), {"key_hash": digest})
        if row is None:
            return None
        return Identity(
            subject=f"key:{row['api_key_id']}",
            tenant_id=row["tenant_id"],
            role=row["role"],
            currency=None,
            expires_at=self._clock() + REMEMBER_S,
        )

    async def _first(self, statement: LiteralString, parameters: dict[str, object]) -> dict[str, Any] | None:
        async def read(opened: Read[AsyncConnection]) -> dict[str, Any] | None:
            return await (await opened.connection.execute(statement, parameters)).fetchone()

        return await self._router.run(read)


def _credential(authorization: str | None, api_key: str | None) -> str:
    scheme, _, credential = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer" and credential.strip():
        return credential.strip()
    if authorization:
        raise UnauthenticatedError("the Authorization header must be `Bearer` and a token")
    if not api_key:
        raise UnauthenticatedError("send a token as `Authorization: Bearer …`, or a key as `X-API-Key: …`")
    if not api_key.strip().startswith(PREFIX):
        raise UnauthenticatedError("the API key is not one of these")
    return api_key.strip()


def _digest(key: str) -> bytes:
    if len(key) > _KEY_MAX:
        raise UnauthenticatedError("the API key is not one of these")
    return hash_api_key(key)


def _identity_of_key(identity: Identity | None) -> Identity:
    if identity is None:
        raise UnauthenticatedError("the API key is unknown, revoked or expired")
    return identity
