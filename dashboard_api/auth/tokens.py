"""JSON Web Tokens: what the application issues and this API believes.

Which algorithms are accepted follows from the setting, never from the token: with a secret HS256 alone, with a JWKS URL
asymmetric ones alone. So neither `alg: none` nor a public key used as an HMAC secret (key confusion) gets through.
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jwt
from pydantic import SecretStr

from dashboard_api.auth.identity import Identity
from dashboard_api.auth.jwks import JwksKeys
from dashboard_api.errors import NotConfiguredError, UnauthenticatedError
from dbconnect import Settings

ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_S = 10.0
_TOKEN_MAX = 8_192
_REMEMBERED = 10_000
_CURRENCY = re.compile(r"[A-Z]{3}")


class TokenVerifier:
    """Verifies tokens by the settings. A token that has been verified is remembered, by its hash, until it expires.

    Raises:
        NotConfiguredError: not exactly one of `jwt_secret` and `jwks_url` is set.
    """

    def __init__(
        self, settings: Settings, *, keys: JwksKeys | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        if (settings.jwt_secret is None) == (settings.jwks_url is None):
            raise NotConfiguredError(
                "set exactly one of SALESPULSE_JWT_SECRET (HS256) and SALESPULSE_JWKS_URL (public keys): which algorithms "
                "are believed follows from it"
            )
        self._secret = settings.jwt_secret
        self._keys = keys or (JwksKeys(settings.jwks_url) if settings.jwks_url else None)
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        self._clock = clock
        self._verified: OrderedDict[bytes, Identity] = OrderedDict()

    async def verify(self, token: str) -> Identity:
        """Give the caller that a token stands for.

        Raises:
            UnauthenticatedError: it is malformed, not signed by the right key, expired, or for another audience.
            NotReadyError: the keys that it names can't be fetched just now.
        """
        if len(token) > _TOKEN_MAX:
            raise UnauthenticatedError(f"the token is longer than {_TOKEN_MAX:,} characters")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.get(digest)
        if known is not None:
            if known.expires_at > self._clock():
                return known
            del self._verified[digest]
        identity = self._identity(await self._claims(token))
        self._verified[digest] = identity
        if len(self._verified) > _REMEMBERED:
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
            raise UnauthenticatedError("the token names no tenant")
        if not isinstance(role, str):
            raise UnauthenticatedError("the token names no role")
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
    """Sign a token as the application would: for the local stack and for tests.

    Args:
        settings: the secret, audience and issuer.
        tenant_id: the application's own id of the tenant.
        subject: who it is for.
        role: one of `dashboard_roles`, to be of use.
        currency: ISO 4217 code that the page shows beside money.
        valid_s: how long it holds.
        now: seconds since the epoch; the clock's unless given.

    Raises:
        NotConfiguredError: there is no secret to sign with.
    """
    if settings.jwt_secret is None:
        raise NotConfiguredError(
            "SALESPULSE_JWT_SECRET is not set: tokens are issued by whoever holds the private keys, or, locally, by "
            "`salespulse up`, which makes a secret"
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
    # Said without what the token holds: a detail may end in a log.
    reasons: tuple[tuple[type[jwt.InvalidTokenError], str], ...] = (
        (jwt.InvalidAudienceError, "the token is for another audience"),
        (jwt.InvalidIssuerError, "the token is from another issuer"),
        (jwt.InvalidAlgorithmError, "the token is signed in a way that is not accepted here"),
        (jwt.InvalidSignatureError, "the token's signature does not hold"),
        (jwt.MissingRequiredClaimError, "the token lacks one of exp, aud and sub"),
    )
    return next((reason for kind, reason in reasons if isinstance(error, kind)), "the token can't be read")
