"""Sign what is sent, verify what is received."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from background_jobs.webhooks.errors import VerificationError
from background_jobs.webhooks.secret import signing_key

TOLERANCE_S = 300
_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_VERSION = "v1"
_MOST_SIGNATURES = 16
_LONGEST_ID = 256


def sign(secrets: Sequence[str], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Give the three header fields of one attempt: a signature by each secret, so that a receiver may know either.

    Args:
        secrets: one, or two while one is being replaced.
        message_id: the same in every attempt, so that a receiver can tell a repetition.
        timestamp_s: when this attempt is made, Unix time.
        body: exactly what is sent.

    Raises:
        SecretError: a secret is not in the form.
    """
    signatures = [f"{_VERSION},{_signature(secret, message_id, str(timestamp_s), body)}" for secret in secrets]
    return {_ID: message_id, _TIMESTAMP: str(timestamp_s), _SIGNATURE: " ".join(signatures)}


def verify(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, *, now_s: float, tolerance_s: float = TOLERANCE_S
) -> str:
    """Give the id of a received webhook once any of the secrets is shown to have signed it, now.

    A repetition has the same id: keep the ids seen for twice the tolerance to notice a replay within it.

    Args:
        secrets: those in force.
        headers: of the request; names in any case.
        body: exactly as received.
        now_s: Unix time.
        tolerance_s: how far the sender's clock may differ, either way.

    Raises:
        VerificationError: a field is missing or malformed, the time is too far off, or no signature fits.
        SecretError: a secret is not in the form.
    """
    fields = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, given = (_field(fields, name) for name in (_ID, _TIMESTAMP, _SIGNATURE))
    if len(message_id) > _LONGEST_ID:
        raise VerificationError(f"{_ID} is longer than {_LONGEST_ID} characters")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise VerificationError(f"{_TIMESTAMP} is not a number of seconds")
    if abs(now_s - int(timestamp)) > tolerance_s:
        raise VerificationError(f"{_TIMESTAMP} is more than {tolerance_s:g} s away from this server's clock")
    expected = [_signature(secret, message_id, timestamp, body).encode() for secret in secrets]
    found = False
    for one in given.split(" ")[:_MOST_SIGNATURES]:
        version, _, signature = one.partition(",")
        if version != _VERSION:
            continue
        for wanted in expected:
            # Every pair is compared, each in constant time: how long it takes says nothing of which fits.
            found |= hmac.compare_digest(wanted, signature.encode("utf-8", "surrogatepass"))
    if not found:
        raise VerificationError(f"no {_VERSION} signature in {_SIGNATURE} fits the body")
    return message_id


def _field(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name, "")
    if not value:
        raise VerificationError(f"the header field {name} is missing")
    return value


def _signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode("utf-8", "surrogatepass") + body
    return base64.b64encode(hmac.digest(signing_key(secret), signed, hashlib.sha256)).decode("ascii")
