"""Webhooks by the Standard Webhooks scheme: signed, verified, retried over hours, sent to public addresses only.

Out: `enqueue` adds deliveries in the transaction that records a job's final state; `send_due` is one step of a loop, of which several may
run at once. In: `background_jobs.webhooks.inbound`.
Scheme: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from background_jobs.webhooks.deliveries import enqueue, list_deliveries, prune_deliveries, redeliver
from background_jobs.webhooks.delivery_worker import OUTCOMES, Outcome, send_due, sender_of
from background_jobs.webhooks.endpoints import (
    EVENT_TYPES,
    create_endpoint,
    disable_endpoint,
    enable_endpoint,
    list_endpoints,
    remove_endpoint,
    rotate_secret,
    target_policy,
)
from background_jobs.webhooks.errors import (
    SecretError,
    TargetError,
    VerificationError,
    WebhookError,
    WebhookUsageError,
)
from background_jobs.webhooks.retry import RetryPlan
from background_jobs.webhooks.secret import new_secret, signing_key
from background_jobs.webhooks.sender import Reply, Resolve, Sender
from background_jobs.webhooks.signing import TOLERANCE_S, sign, verify
from background_jobs.webhooks.target import Target, TargetPolicy

__all__ = [
    "EVENT_TYPES",
    "OUTCOMES",
    "TOLERANCE_S",
    "Outcome",
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
    "WebhookUsageError",
    "create_endpoint",
    "disable_endpoint",
    "enable_endpoint",
    "enqueue",
    "list_deliveries",
    "list_endpoints",
    "new_secret",
    "prune_deliveries",
    "redeliver",
    "remove_endpoint",
    "rotate_secret",
    "send_due",
    "sender_of",
    "sign",
    "signing_key",
    "target_policy",
    "verify",
]
