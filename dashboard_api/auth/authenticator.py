"""From a request's headers to a verified caller and the tenant's surrogate key."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString

from connect import Read, ReadRouter, Settings
from connect.routes import AsyncConnection
from dashboard_api.auth.api_keys import PREFIX, hash_api_key
from dashboard_api.auth.identity import Identity
from dashboard_api.auth.tokens import TokenVerifier
from dashboard_api.errors import ForbiddenError, UnauthenticatedError
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
        self._tenants: OrderedDict[str, tuple[int | None, float]] = OrderedDict()
        self._api_keys: OrderedDict[bytes, tuple[Identity | None, float]] = OrderedDict()

    async def identify(self, authorization: str | None, api_key: str | None) -> Identity:
        """Give who asks, by `Authorization: Bearer <token or key>` or `X-API-Key: <key>`.

        Raises:
            UnauthenticatedError: neither is there, or it doesn't hold.
            NotReadyError: it can't be verified just now.
        """
        scheme, _, credential = (authorization or "").strip().partition(" ")
        credential = credential.strip()
        if scheme.lower() == "bearer" and credential:
            return (
                await self._identify_key(credential)
                if credential.startswith(PREFIX)
                else await self._verifier.verify(credential)
            )
        if authorization:
            raise UnauthenticatedError("the Authorization header must be `Bearer` and a token")
        if api_key:
            return await self._identify_key(api_key.strip())
        raise UnauthenticatedError("send a token as `Authorization: Bearer …`, or a key as `X-API-Key: …`")

    async def authenticate(self, authorization: str | None, api_key: str | None) -> Caller:
        """Give who asks and which tenant's rows the answer may hold.

        Raises:
            UnauthenticatedError: see `identify`.
            ForbiddenError: the role may not read the dashboard, or the tenant is not known.
            NotReadyError: see `identify`.
        """
        identity = await self.identify(authorization, api_key)
        if identity.role not in self._roles:
            raise ForbiddenError(f"the role must be one of {', '.join(sorted(self._roles))}")
        tenant_key = await self._tenant_key(identity.tenant_id)
        if tenant_key is None:
            raise ForbiddenError("the credential's tenant is not known here (yet: it appears with its first refresh)")
        return Caller(identity, tenant_key)

    async def _tenant_key(self, tenant_id: str) -> int | None:
        known = self._tenants.get(tenant_id)
        if known is not None and known[1] > self._clock():
            return known[0]
        row = await self._first(query("dashboard.tenant_key"), {"tenant_id": tenant_id})
        tenant_key: int | None = row["tenant_key"] if row else None
        # An unknown tenant is remembered for a moment only: it may be there after the next refresh.
        self._tenants[tenant_id] = (tenant_key, self._clock() + (REMEMBER_S if tenant_key is not None else 1.0))
        self._tenants.move_to_end(tenant_id)
        if len(self._tenants) > _REMEMBERED:
            self._tenants.popitem(last=False)
        return tenant_key

    async def _identify_key(self, key: str) -> Identity:
        if not key.startswith(PREFIX) or len(key) > _KEY_MAX:
            raise UnauthenticatedError("the API key is not one of these")
        digest = hash_api_key(key)
        known = self._api_keys.get(digest)
        if known is None or known[1] <= self._clock():
            known = (await self._read_key(digest), self._clock() + REMEMBER_S)
            self._api_keys[digest] = known
            self._api_keys.move_to_end(digest)
            if len(self._api_keys) > _REMEMBERED:
                self._api_keys.popitem(last=False)
        if known[0] is None:
            raise UnauthenticatedError("the API key is unknown, revoked or expired")
        return known[0]

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
