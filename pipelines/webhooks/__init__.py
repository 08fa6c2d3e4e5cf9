"""Webhooks: endpoints that are told of a tenant's jobs, their deliveries, and hooks that start a job from outside.

Out: the archiver calls `enqueue` in its own transaction; `send_due` is a step of a loop, of which several may run at once.
In: `pipelines.webhooks.inbound`.
"""

from pipelines.webhooks.delivering import OUTCOMES, Outcome, send_due
from pipelines.webhooks.endpoints import (
    EVENT_TYPES,
    create_endpoint,
    disable_endpoint,
    enable_endpoint,
    list_endpoints,
    remove_endpoint,
    rotate_secret,
)
from pipelines.webhooks.errors import WebhookUsageError
from pipelines.webhooks.outbox import enqueue, list_deliveries, prune_deliveries, redeliver
from pipelines.webhooks.sending import sender_of

__all__ = [
    "EVENT_TYPES",
    "OUTCOMES",
    "Outcome",
    "WebhookUsageError",
    "create_endpoint",
    "disable_endpoint",
    "enable_endpoint",
    "enqueue",
    "list_deliveries",
    "list_endpoints",
    "prune_deliveries",
    "redeliver",
    "remove_endpoint",
    "rotate_secret",
    "send_due",
    "sender_of",
]
