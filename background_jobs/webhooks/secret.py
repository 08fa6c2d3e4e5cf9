"""Signing secrets: `whsec_` and base64."""

import base64
import binascii
import secrets

from background_jobs.webhooks.errors import SecretError

_PREFIX = "whsec_"
_NEW_BYTES = 32
_LEAST_BYTES, _MOST_BYTES = 24, 64


def new_secret() -> str:
    """Make a secret of 256 random bits."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_NEW_BYTES)).decode("ascii")


def signing_key(secret: str) -> bytes:
    """Give the key that a secret stands for.

    Raises:
        SecretError: it is not in the form, or too short or too long.
    """
    encoded = secret.removeprefix(_PREFIX)
    if encoded == secret:
        raise SecretError(f"a webhook secret begins with {_PREFIX}")
    try:
        # Some systems leave the padding out.
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise SecretError(f"a webhook secret is base64 after {_PREFIX}") from None
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise SecretError(f"a webhook secret holds {_LEAST_BYTES} to {_MOST_BYTES} bytes, not {len(key)}")
    return key
