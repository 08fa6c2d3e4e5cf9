"""Sign outgoing webhooks, verify the signatures of incoming ones, and make the secrets for both."""

import base64
import binascii
import hashlib
import hmac
import secrets as random_secrets
from collections.abc import Mapping, Sequence

from background_jobs.errors import InvalidSignatureError, SecretError

TOLERANCE_S = 300
_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_VERSION = "v1"
_SIGNATURES_MAX = 16
_ID_CHARACTERS_MAX = 256
_SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, no secret
_NEW_SECRET_BYTES = 32
_SECRET_BYTES_MIN, _SECRET_BYTES_MAX = 24, 64


def new_secret() -> str:
    """Return a new secret: `whsec_` and 256 random bits in base64."""
    return _SECRET_PREFIX + base64.b64encode(random_secrets.token_bytes(_NEW_SECRET_BYTES)).decode("ascii")


def signing_key(secret: str) -> bytes:
    """Return the key that a secret encodes.

    Raises:
        SecretError: the secret is malformed, too short or too long.
    """
    encoded = secret.removeprefix(_SECRET_PREFIX)
    if encoded == secret:
        raise SecretError(f"a webhook secret begins with {_SECRET_PREFIX}")
    try:
        # Some systems omit the padding.
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise SecretError(f"a webhook secret is base64 after {_SECRET_PREFIX}") from None
    if not _SECRET_BYTES_MIN <= len(key) <= _SECRET_BYTES_MAX:
        raise SecretError(f"a webhook secret has {_SECRET_BYTES_MIN} to {_SECRET_BYTES_MAX} bytes, not {len(key)}")
    return key


def sign(secrets: Sequence[str], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Return the three header fields of one attempt, with a signature by each secret: a receiver may know any of them.

    Args:
        secrets: one, or two while one is being rotated.
        message_id: the same in every attempt, so that a receiver can recognize a repetition.
        timestamp_s: the time of this attempt, in Unix seconds.
        body: exactly what is sent.

    Raises:
        SecretError: a secret is malformed.
    """
    signatures = [f"{_VERSION},{_signature(secret, message_id, str(timestamp_s), body)}" for secret in secrets]
    return {_ID: message_id, _TIMESTAMP: str(timestamp_s), _SIGNATURE: " ".join(signatures)}


def verify_signature(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, *, now_s: float, tolerance_s: float = TOLERANCE_S
) -> str:
    """Verify that any of the secrets signed a received webhook recently, and return its id.

    A repetition has the same id: keep the ids for twice the tolerance to detect a replay within it.

    Args:
        secrets: the valid secrets.
        headers: the request's header fields; names in any case.
        body: exactly as received.
        now_s: Unix time in seconds.
        tolerance_s: how far the sender's clock may differ, either way.

    Raises:
        InvalidSignatureError: a field is missing or malformed, the time is too far off, or no signature matches.
        SecretError: a secret is malformed.
    """
    fields = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (_field(fields, name) for name in (_ID, _TIMESTAMP, _SIGNATURE))
    if len(message_id) > _ID_CHARACTERS_MAX:
        raise InvalidSignatureError(f"{_ID} is longer than {_ID_CHARACTERS_MAX} characters")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise InvalidSignatureError(f"{_TIMESTAMP} is not a number of seconds")
    if abs(now_s - int(timestamp)) > tolerance_s:
        raise InvalidSignatureError(f"{_TIMESTAMP} differs from this server's clock by more than {tolerance_s:g} s")
    expected = [_signature(secret, message_id, timestamp, body).encode() for secret in secrets]
    is_valid = False
    for item in signatures.split(" ")[:_SIGNATURES_MAX]:
        version, _, signature = item.partition(",")
        if version != _VERSION:
            continue
        for expected_signature in expected:
            # Compare every pair, in constant time: the duration must not tell which one matches.
            is_valid |= hmac.compare_digest(expected_signature, signature.encode("utf-8", "surrogatepass"))
    if not is_valid:
        raise InvalidSignatureError(f"no {_VERSION} signature in {_SIGNATURE} matches the body")
    return message_id


def _field(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name, "")
    if not value:
        raise InvalidSignatureError(f"the header field {name} is missing")
    return value


def _signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode("utf-8", "surrogatepass") + body
    return base64.b64encode(hmac.digest(signing_key(secret), content, hashlib.sha256)).decode("ascii")
