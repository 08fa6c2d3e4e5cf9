"""API keys of machines: 256 random bits behind a prefix that secret scanners can look for; kept only as a hash."""

import hashlib
import secrets

PREFIX = "spk_"


def new_api_key() -> str:
    """A new key, to be shown once."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_api_key(key: str) -> bytes:
    """What is kept of a key: its SHA-256. A key can't be guessed, so a slow hash would protect nothing."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
