"""Access tokens (JSON Web Tokens) that the application issues, and the public keys of its JWKS URL (RFC 7517).

Which algorithms are accepted follows from the setting, never from the token: HS256 alone with a secret, asymmetric ones alone with a
JWKS URL. So neither `alg: none` nor a public key used as an HMAC secret (key confusion) is accepted.
"""

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import httpx
import jwt
from pydantic import SecretStr

from dashboard_api.auth.identity import Identity
from dashboard_api.errors import NotConfiguredError, NotReadyError, UnauthenticatedError
from dbconnect import Settings

ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_S = 10.0
JWKS_RENEW_S = 300.0
# A token with an unknown key id may follow a key rotation; fetching more often than this would let anyone who invents key ids make this
# process flood the issuer with requests.
JWKS_REFETCH_AFTER_S = 10.0
_TOKEN_MAX_CHARACTERS = 8_192
_CACHE_MAX = 10_000
_CURRENCY = re.compile(r"[A-Z]{3}")


class JwksClient:
    """Public keys by key id: fetched without blocking, cached, and renewed."""

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
        """Return the key that a token's header names.

        Raises:
            UnauthenticatedError: there is no such key.
            NotReadyError: no key is cached, and the URL does not respond.
        """
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise UnauthenticatedError("the token has no key id (kid)")
        if kid not in self._keys or self._is_older_than(self._fetched_at, JWKS_RENEW_S):
            async with self._lock:
                if kid not in self._keys or self._is_older_than(self._fetched_at, JWKS_RENEW_S):
                    await self._fetch()
        key = self._keys.get(kid)
        if key is None:
            raise UnauthenticatedError("the token is signed with an unknown key")
        return key

    async def close(self) -> None:
        """Close the connection to the issuer."""
        await self._client.aclose()

    def _is_older_than(self, moment: float | None, age_s: float) -> bool:
        return moment is None or self._clock() - moment > age_s

    async def _fetch(self) -> None:
        if not self._is_older_than(self._tried_at, JWKS_REFETCH_AFTER_S):
            return
        self._tried_at = self._clock()
        try:
            response = await self._client.get(self._url)
            response.raise_for_status()
            keys = jwt.PyJWKSet.from_dict(response.json()).keys
        except (httpx.HTTPError, jwt.PyJWTError, ValueError) as error:
            if not self._keys:
                raise NotReadyError("the public keys to verify tokens with can't be fetched; retry later") from error
            return
        self._keys = {key.key_id: key for key in keys if key.key_id and key.key_type in {"RSA", "EC", "OKP"}}
        self._fetched_at = self._clock()


class TokenVerifier:
    """Verify access tokens as the settings say. A verified token is cached, by its hash, until it expires.

    Raises:
        NotConfiguredError: not exactly one of `jwt_secret` and `jwks_url` is set.
    """

    def __init__(
        self, settings: Settings, *, keys: JwksClient | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        if (settings.jwt_secret is None) == (settings.jwks_url is None):
            raise NotConfiguredError(
                "set exactly one of SALESPULSE_JWT_SECRET (HS256) and SALESPULSE_JWKS_URL (public keys): it determines which "
                "algorithms are accepted"
            )
        self._secret = settings.jwt_secret
        self._keys = keys or (JwksClient(settings.jwks_url) if settings.jwks_url else None)
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        self._clock = clock
        self._verified: OrderedDict[bytes, Identity] = OrderedDict()

    async def verify(self, token: str) -> Identity:
        """Return the identity that a token stands for.

        Raises:
            UnauthenticatedError: it is malformed, not signed with the right key, expired, or for another audience.
            NotReadyError: the key that it names can't be fetched.
        """
        if len(token) > _TOKEN_MAX_CHARACTERS:
            raise UnauthenticatedError(f"the token is longer than {_TOKEN_MAX_CHARACTERS:,} characters")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        identity = self._verified.get(digest)
        if identity is not None:
            if identity.expires_at > self._clock():
                return identity
            del self._verified[digest]
        identity = self._identity(await self._claims(token))
        self._verified[digest] = identity
        if len(self._verified) > _CACHE_MAX:
            self._verified.popitem(last=False)
        return identity

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            key: Any
            algorithms: tuple[str, ...]
            if self._keys is not None:
                key, algorithms = await self._keys.key_for(jwt.get_unverified_header(token)), ASYMMETRIC
            else:
                key, algorithms = _plain(self._secret), ("HS256",)
            claims = jwt.decode(
                token,
                key,
                algorithms=list(algorithms),
                audience=self._audience,
                issuer=self._issuer,
                options={
                    "require": ["exp", "aud", "sub"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidTokenError as error:
            raise UnauthenticatedError(_reason(error)) from error
        self._check_times(claims)
        return dict(claims)

    def _check_times(self, claims: dict[str, Any]) -> None:
        # By this object's clock, so that a test need not wait for an expiry.
        now = self._clock()
        for name in ("exp", "nbf", "iat"):
            value = claims.get(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise UnauthenticatedError(f"the token's {name} is not a number of seconds")
        if claims["exp"] + LEEWAY_S <= now:
            raise UnauthenticatedError("the token has expired")
        if claims.get("nbf", 0) - LEEWAY_S > now:
            raise UnauthenticatedError("the token is not valid yet")

    def _identity(self, claims: dict[str, Any]) -> Identity:
        tenant_id, role, currency = claims.get("tenant"), claims.get("role"), claims.get("currency")
        if not isinstance(tenant_id, str) or not tenant_id or "\0" in tenant_id:
            raise UnauthenticatedError("the token has no tenant")
        if not isinstance(role, str):
            raise UnauthenticatedError("the token has no role")
        return Identity(
            subject=str(claims["sub"]),
            tenant_id=tenant_id,
            role=role,
            currency=currency if isinstance(currency, str) and _CURRENCY.fullmatch(currency) else None,
            expires_at=float(claims["exp"]) + LEEWAY_S,
        )


def issue_token(
    settings: Settings,
    *,
    tenant_id: str,
    subject: str,
    role: str = "owner",
    currency: str | None = None,
    valid_s: float = 3_600,
    now: float | None = None,
) -> str:
    """Sign a token as the application would, for the local stack and for tests.

    Args:
        settings: the secret, audience and issuer.
        tenant_id: the application's own id of the tenant.
        subject: the user.
        role: one of `dashboard_roles`, to be of use.
        currency: ISO 4217 code that the page shows beside money.
        valid_s: lifetime in seconds.
        now: seconds since the epoch; by default the system clock's.

    Raises:
        NotConfiguredError: there is no secret to sign with.
    """
    if settings.jwt_secret is None:
        raise NotConfiguredError(
            "SALESPULSE_JWT_SECRET is not set: whoever holds the private keys issues tokens; for a local stack, `salespulse up` "
            "generates a secret"
        )
    issued_at = int(time.time() if now is None else now)
    claims = {
        "aud": settings.jwt_audience,
        "sub": subject,
        "tenant": tenant_id,
        "role": role,
        "iat": issued_at,
        "exp": issued_at + int(valid_s),
    }
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    if currency is not None:
        claims["currency"] = currency
    return jwt.encode(claims, _plain(settings.jwt_secret), algorithm="HS256")


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


def _reason(error: jwt.InvalidTokenError) -> str:
    # Without the token's content: the message may end up in a log.
    reasons: tuple[tuple[type[jwt.InvalidTokenError], str], ...] = (
        (jwt.InvalidAudienceError, "the token is for another audience"),
        (jwt.InvalidIssuerError, "the token is from another issuer"),
        (jwt.InvalidAlgorithmError, "the token's signing algorithm is not accepted"),
        (jwt.InvalidSignatureError, "invalid token signature"),
        (jwt.MissingRequiredClaimError, "the token lacks one of exp, aud and sub"),
    )
    return next((reason for kind, reason in reasons if isinstance(error, kind)), "malformed token")
