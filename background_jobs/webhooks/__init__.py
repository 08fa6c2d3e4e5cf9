"""Webhooks by the Standard Webhooks scheme: signed, verified, retried over hours, sent to public addresses only.

Outgoing: `enqueue_deliveries` adds deliveries in the transaction that archives a job's final state; `send_due` is one step of a
loop, of which several may run at once. Incoming: `background_jobs.webhooks.inbound`.
Scheme: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from background_jobs.errors import InvalidSignatureError, SecretError, TargetError, WebhookError, WebhookUsageError
from background_jobs.webhooks.deliveries import enqueue_deliveries, list_deliveries, prune_deliveries, redeliver
from background_jobs.webhooks.delivery_worker import DELIVERY_OUTCOMES, RetrySchedule, send_due
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
from background_jobs.webhooks.sender import AttemptResult, Sender
from background_jobs.webhooks.signing import TOLERANCE_S, new_secret, sign, signing_key, verify_signature
from background_jobs.webhooks.target import Target, TargetPolicy

__all__ = [
    "DELIVERY_OUTCOMES",
    "EVENT_TYPES",
    "TOLERANCE_S",
    "AttemptResult",
    "InvalidSignatureError",
    "RetrySchedule",
    "SecretError",
    "Sender",
    "Target",
    "TargetError",
    "TargetPolicy",
    "WebhookError",
    "WebhookUsageError",
    "create_endpoint",
    "disable_endpoint",
    "enable_endpoint",
    "enqueue_deliveries",
    "list_deliveries",
    "list_endpoints",
    "new_secret",
    "prune_deliveries",
    "redeliver",
    "remove_endpoint",
    "rotate_secret",
    "send_due",
    "sign",
    "signing_key",
    "target_policy",
    "verify_signature",
]
