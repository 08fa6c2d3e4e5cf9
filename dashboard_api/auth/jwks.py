"""The public keys of a JWKS URL (RFC 7517), fetched without blocking, remembered, and renewed."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt

from dashboard_api.errors import NotReadyError, UnauthenticatedError

RENEW_S = 300.0
# A token with an unknown key id may be from after a rotation; asking again more often than this would let anyone who
# invents key ids make this process hammer the issuer.
AGAIN_AFTER_S = 10.0


class JwksKeys:
    """Keys by key id."""

    def __init__(
        self, url: str, *, client: httpx.AsyncClient | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._client = client or httpx.AsyncClient(timeout=5.0, follow_redirects=False)
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._tried_at: float | None = None
        self._fetched_at: float | None = None
        self._lock = asyncio.Lock()

    async def key_for(self, header: dict[str, Any]) -> jwt.PyJWK:
        """Give the key that a token's header names.

        Raises:
            UnauthenticatedError: there is no such key.
            NotReadyError: no key is known, since the URL doesn't answer.
        """
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise UnauthenticatedError("the token names no key (kid)")
        if kid not in self._keys or self._is_older_than(self._fetched_at, RENEW_S):
            async with self._lock:
                if kid not in self._keys or self._is_older_than(self._fetched_at, RENEW_S):
                    await self._fetch()
        key = self._keys.get(kid)
        if key is None:
            raise UnauthenticatedError("the token is signed by a key that is not known here")
        return key

    async def close(self) -> None:
        """Close the connection to the issuer."""
        await self._client.aclose()

    def _is_older_than(self, moment: float | None, age_s: float) -> bool:
        return moment is None or self._clock() - moment > age_s

    async def _fetch(self) -> None:
        if not self._is_older_than(self._tried_at, AGAIN_AFTER_S):
            return
        self._tried_at = self._clock()
        try:
            response = await self._client.get(self._url)
            response.raise_for_status()
            keys = jwt.PyJWKSet.from_dict(response.json()).keys
        except (httpx.HTTPError, jwt.PyJWTError, ValueError) as error:
            if not self._keys:
                raise NotReadyError("the keys to verify tokens with can't be fetched just now") from error
            return
        self._keys = {key.key_id: key for key in keys if key.key_id and key.key_type in {"RSA", "EC", "OKP"}}
        self._fetched_at = self._clock()
