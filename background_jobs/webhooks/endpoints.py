"""Webhook endpoints: the URLs that one tenant's webhooks go to, and the secrets that sign them.

What changes an endpoint raises WebhookUsageError if there is no endpoint of this id.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from background_jobs.errors import TargetError, WebhookUsageError
from background_jobs.webhooks.signing import new_secret
from background_jobs.webhooks.target import Target, TargetPolicy
from dbconnect import Settings, SettingsError
from dbconnect.routes import Connection, Row
from dbsql import query

EVENT_TYPES = ("job.succeeded", "job.failed", "job.canceled")


def target_policy(settings: Settings) -> TargetPolicy:
    """Return the settings' policy on where webhooks may go.

    Raises:
        SettingsError: a private network in the settings is invalid.
    """
    try:
        return TargetPolicy.allowing(settings.webhook_private_networks)
    except TargetError as error:
        raise SettingsError(f"SALESPULSE_WEBHOOK_PRIVATE_NETWORKS: {error}") from None


def create_endpoint(
    connection: Connection,
    tenant_id: str,
    url: str,
    *,
    policy: TargetPolicy,
    event_types: Sequence[str] = (),
) -> tuple[int, str]:
    """Create an endpoint; return its id and its secret.

    Args:
        connection: as the pipeline's role.
        tenant_id: the tenant whose jobs it is notified of.
        url: the receiver's address.
        policy: where webhooks may go.
        event_types: some of `EVENT_TYPES`; none means all.

    Raises:
        WebhookUsageError: no such tenant or event type, or a URL that the policy forbids.
    """
    if unknown := [name for name in event_types if name not in EVENT_TYPES]:
        raise WebhookUsageError(f"no event type {unknown[0]!r}: choose of {', '.join(EVENT_TYPES)}")
    try:
        Target.parse(url, policy)
    except TargetError as error:
        raise WebhookUsageError(str(error)) from None
    secret = new_secret()
    parameters = {
        "tenant_id": tenant_id,
        "url": url,
        "event_types": list(event_types) or None,
        "secret": secret,
    }
    row = connection.execute(query("webhooks.create_endpoint"), parameters).fetchone()
    if row is None:
        raise WebhookUsageError(f"no tenant has the id {tenant_id!r} in the warehouse")
    return row["endpoint_id"], secret


def list_endpoints(connection: Connection, tenant_id: str | None = None) -> list[Row]:
    """Return the endpoints of a tenant, or of all: one row each, with counts of deliveries, without secrets."""
    return connection.execute(query("webhooks.list_endpoints"), {"tenant_id": tenant_id}).fetchall()


def rotate_secret(
    connection: Connection, endpoint_id: int, *, overlap_s: float, now: datetime | None = None
) -> tuple[str, datetime]:
    """Create a new secret for an endpoint; return it, and until when the previous one signs as well."""
    secret = new_secret()
    row = _change(connection, "webhooks.rotate_secret", endpoint_id, secret=secret, overlap_s=overlap_s, now=now)
    return secret, row["previous_secret_until"]


def enable_endpoint(connection: Connection, endpoint_id: int) -> None:
    """Send to an endpoint again, beginning with the deliveries that waited."""
    _change(connection, "webhooks.enable_endpoint", endpoint_id)


def disable_endpoint(connection: Connection, endpoint_id: int, *, reason: str) -> None:
    """Stop sending to an endpoint: pending deliveries wait, and new events are not enqueued."""
    _change(connection, "webhooks.disable_endpoint", endpoint_id, reason=reason)


def remove_endpoint(connection: Connection, endpoint_id: int) -> None:
    """Delete an endpoint and its deliveries."""
    _change(connection, "webhooks.remove_endpoint", endpoint_id)


def _change(connection: Connection, name: str, endpoint_id: int, **parameters: Any) -> Row:
    row = connection.execute(query(name), {"endpoint_id": endpoint_id, **parameters}).fetchone()
    if row is None:
        raise WebhookUsageError(f"there is no endpoint {endpoint_id}; `salespulse webhook list` shows them")
    return row
