"""Webhooks by the Standard Webhooks scheme: signed, verified, retried over hours, and sent to public addresses only.

Needs the extra `webhooks`. Scheme: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from ratelimit_service.webhooks.errors import SecretError, TargetError, VerificationError, WebhookError
from ratelimit_service.webhooks.retry import RetryPlan
from ratelimit_service.webhooks.secret import new_secret, signing_key
from ratelimit_service.webhooks.sender import Reply, Resolve, Sender
from ratelimit_service.webhooks.signing import TOLERANCE_S, sign, verify
from ratelimit_service.webhooks.target import Target, TargetPolicy

__all__ = [
    "TOLERANCE_S",
    "Reply",
    "Resolve",
    "RetryPlan",
    "SecretError",
    "Sender",
    "Target",
    "TargetError",
    "TargetPolicy",
    "VerificationError",
    "WebhookError",
    "new_secret",
    "sign",
    "signing_key",
    "verify",
]
