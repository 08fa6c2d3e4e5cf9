"""The companion's settings from the environment, and its callers' keys."""

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
    """Settings of the companion, each with its environment variable.

    Attributes:
        redis_url: RATELIMIT_REDIS_URL.
        key_hashes: RATELIMIT_KEY_HASHES: SHA-256 of each caller's key in lower-case hex, separated by commas; all are
            valid, so that a key can be replaced.
        policies: RATELIMIT_POLICIES: a policy file, or `redis` for the policies of `publish_policies`, both watched for
            changes; empty for the bundled ones.
        host: RATELIMIT_HOST: the address to listen on.
        port: RATELIMIT_PORT.
        body_max_bytes: RATELIMIT_BODY_MAX_BYTES: maximum length of a body.
        requests_max: RATELIMIT_REQUESTS_MAX: maximum checks in one call.

    Raises:
        UsageError: with the invalid variable, never a secret value.
    """

    redis_url: str = field(repr=False)
    key_hashes: tuple[str, ...] = field(repr=False)
    policies: str = ""
    host: str = "127.0.0.1"
    port: int = 8088
    body_max_bytes: int = 65_536
    requests_max: int = 1_000

    def __post_init__(self) -> None:
        """Validate the settings; no key would leave the service open to everybody."""
        if not self.key_hashes or not all(_HASH.fullmatch(hashed) for hashed in self.key_hashes):
            raise UsageError(
                "RATELIMIT_KEY_HASHES must be one or more SHA-256 hashes of 64 hexadecimal digits; "
                "`python -m ratelimit_service.companion --new-key` makes a key and its hash"
            )
        if self.body_max_bytes < 1 or self.requests_max < 1:
            raise UsageError("RATELIMIT_BODY_MAX_BYTES and RATELIMIT_REQUESTS_MAX must be at least 1")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> CompanionSettings:
        """Return the settings in an environment.

        Raises:
            UsageError: one is missing or invalid.
        """
        if not environ.get("RATELIMIT_REDIS_URL"):
            raise UsageError("RATELIMIT_REDIS_URL is not set; set it to a URL such as redis://localhost:6379/0")
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
        raise UsageError(f"{name} must be an integer, not {text!r}")
    return int(text) if text else default


def new_key() -> tuple[str, str]:
    """Return a random key for a caller, and its hash for the settings.

    A fast hash is enough: 256 random bits can't be guessed.
    """
    key = secrets.token_urlsafe(_KEY_BYTES)
    return key, hash_key(key.encode())


def hash_key(key: bytes) -> str:
    """Return the SHA-256 of a key in hex."""
    return hashlib.sha256(key).hexdigest()


def is_known(key: bytes, hashes: tuple[str, ...]) -> bool:
    """Whether a key has one of the hashes, compared in constant time."""
    key_hash = hash_key(key)
    matches = [hmac.compare_digest(key_hash, accepted_hash) for accepted_hash in hashes]
    return any(matches)
