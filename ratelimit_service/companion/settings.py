"""What the companion is told by its environment, and the keys that its callers show."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from ratelimit_service.errors import UsageError

_HASH = re.compile(r"[0-9a-f]{64}")
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class CompanionSettings:
    """How the companion runs; the variable that sets each stands behind it.

    Attributes:
        redis_url: RATELIMIT_REDIS_URL.
        key_hashes: RATELIMIT_KEY_HASHES: SHA-256 of each caller's key in lower-case hex, separated by commas. Several
            are good at once, so that a key can be replaced.
        policies: RATELIMIT_POLICIES: a policy file, watched; `redis` for what `publish_policies` put there, watched;
            empty for the bundled ones.
        host: RATELIMIT_HOST: where to listen.
        port: RATELIMIT_PORT.
        body_max_bytes: RATELIMIT_BODY_MAX_BYTES: a longer body is refused unread.
        requests_max: RATELIMIT_REQUESTS_MAX: the most checks in one call.

    Raises:
        UsageError: with the variable at fault, never its value if it is secret.
    """

    redis_url: str = field(repr=False)
    key_hashes: tuple[str, ...] = field(repr=False)
    policies: str = ""
    host: str = "127.0.0.1"
    port: int = 8088
    body_max_bytes: int = 65_536
    requests_max: int = 1_000

    def __post_init__(self) -> None:
        """Refuse to run open to everybody."""
        if not self.key_hashes or not all(_HASH.fullmatch(hashed) for hashed in self.key_hashes):
            raise UsageError(
                "RATELIMIT_KEY_HASHES wants SHA-256 hashes of 64 hexadecimal digits, at least one; "
                "`python -m ratelimit_service.companion --new-key` makes a key and its hash"
            )
        if self.body_max_bytes < 1 or self.requests_max < 1:
            raise UsageError("RATELIMIT_BODY_MAX_BYTES and RATELIMIT_REQUESTS_MAX are at least 1")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> CompanionSettings:
        """The settings in an environment.

        Raises:
            UsageError: one is missing or can't be read.
        """
        if not environ.get("RATELIMIT_REDIS_URL"):
            raise UsageError("RATELIMIT_REDIS_URL is not set: where is Redis, such as redis://localhost:6379/0?")
        hashes = [part.strip() for part in environ.get("RATELIMIT_KEY_HASHES", "").split(",")]
        return cls(
            redis_url=environ["RATELIMIT_REDIS_URL"],
            key_hashes=tuple(part for part in hashes if part),
            policies=environ.get("RATELIMIT_POLICIES", ""),
            host=environ.get("RATELIMIT_HOST", "127.0.0.1"),
            port=_number(environ, "RATELIMIT_PORT", 8088),
            body_max_bytes=_number(environ, "RATELIMIT_BODY_MAX_BYTES", 65_536),
            requests_max=_number(environ, "RATELIMIT_REQUESTS_MAX", 1_000),
        )


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "")
    if text and not text.isdecimal():
        raise UsageError(f"{name} is a whole number, not {text!r}")
    return int(text) if text else default


def new_key() -> tuple[str, str]:
    """A random key for a caller, and the hash of it for the settings.

    A plain hash is enough: 256 random bits can't be searched for, however fast the hash is.
    """
    key = secrets.token_urlsafe(_KEY_BYTES)
    return key, hash_key(key.encode())


def hash_key(key: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(key).hexdigest()


def is_known(key: bytes, hashes: tuple[str, ...]) -> bool:
    """Whether a key is one of those hashed, in a time that does not tell how nearly, or which."""
    hashed = hash_key(key)
    matches = [hmac.compare_digest(hashed, known) for known in hashes]
    return any(matches)
