"""API keys of machines: 256 random bits behind a prefix that secret scanners recognise; the database stores only their hash."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from dashboard_api.auth.identity import Identity
from dashboard_api.errors import UnauthenticatedError
from dbconnect import Read, ReadRouter
from dbconnect.routes import AsyncConnection
from dbsql import query

PREFIX = "spk_"
_CACHE_MAX = 10_000
_KEY_MAX_CHARACTERS = 100


def new_api_key() -> str:
    """Return a new key, to be shown once."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_api_key(key: str) -> bytes:
    """Return the SHA-256 of a key, which is what the database stores. Keys can't be guessed, so a slow hash would protect nothing."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


class ApiKeyVerifier:
    """Look up API keys in the database; results, negative ones too, are cached in bounded memory.

    Args:
        router: connections to the database.
        cache_s: how long a result is cached, and so how long a revoked key may still be accepted.
        clock: seconds since the epoch.
    """

    def __init__(self, router: ReadRouter, *, cache_s: float, clock: Callable[[], float]) -> None:
        self._router = router
        self._cache_s = cache_s
        self._clock = clock
        # By the key's hash: the identity, None for an invalid key, and when the entry expires.
        self._cache: OrderedDict[bytes, tuple[Identity | None, float]] = OrderedDict()

    def cached(self, key: str) -> Identity | None:
        """Return the cached identity of a key; None: the database must be asked.

        Raises:
            UnauthenticatedError: the key is malformed, or cached as invalid.
        """
        identity, expires_at = self._cache.get(_digest(key), (None, 0.0))
        return None if expires_at <= self._clock() else _require(identity)

    async def verify(self, key: str) -> Identity:
        """Return the identity of a key by asking the database.

        Raises:
            UnauthenticatedError: the key is malformed, unknown, revoked or expired.
            SalespulseError: no database server is available.
        """
        digest = _digest(key)
        identity = await self._read(digest)
        self._cache[digest] = (identity, self._clock() + self._cache_s)
        self._cache.move_to_end(digest)
        if len(self._cache) > _CACHE_MAX:
            self._cache.popitem(last=False)
        return _require(identity)

    async def _read(self, digest: bytes) -> Identity | None:
        async def read(opened: Read[AsyncConnection]) -> dict[str, Any] | None:
            cursor = await opened.connection.execute(query("dashboard.api_key_identity"), {"key_hash": digest})
            return await cursor.fetchone()

        row = await self._router.run(read)
        if row is None:
            return None
        return Identity(
            subject=f"key:{row['api_key_id']}",
            tenant_id=row["tenant_id"],
            role=row["role"],
            currency=None,
            expires_at=self._clock() + self._cache_s,
        )


def _digest(key: str) -> bytes:
    if len(key) > _KEY_MAX_CHARACTERS:
        raise UnauthenticatedError("malformed API key")
    return hash_api_key(key)


def _require(identity: Identity | None) -> Identity:
    if identity is None:
        raise UnauthenticatedError("the API key is unknown, revoked or expired")
    return identity
