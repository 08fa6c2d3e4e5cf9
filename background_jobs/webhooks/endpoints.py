"""Endpoints: where one tenant's webhooks go, and the secrets that sign them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from background_jobs.webhooks.errors import TargetError, WebhookUsageError
from background_jobs.webhooks.secret import new_secret
from background_jobs.webhooks.target import Target, TargetPolicy
from dbconnect import Settings, SettingsError
from dbconnect.routes import Connection, Row
from dbsql import query

EVENT_TYPES = ("job.succeeded", "job.failed", "job.canceled")


def target_policy(settings: Settings) -> TargetPolicy:
    """Where webhooks may go.

    Raises:
        SettingsError: a network in the settings is none.
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
    """Make an endpoint, and give its id and its secret.

    Args:
        connection: as the pipeline's role.
        tenant_id: whose jobs it is told of.
        url: where to.
        policy: where webhooks may go.
        event_types: some of `EVENT_TYPES`; none given: all.

    Raises:
        WebhookUsageError: no such tenant or event type, or a URL to which nothing would be sent.
    """
    if unknown := [name for name in event_types if name not in EVENT_TYPES]:
        raise WebhookUsageError(f"no event type {unknown[0]!r}; there are {', '.join(EVENT_TYPES)}")
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
    """Give the endpoints of a tenant, or of every one: one row each, with counts of its deliveries, without secrets."""
    return connection.execute(query("webhooks.list_endpoints"), {"tenant_id": tenant_id}).fetchall()


def rotate_secret(
    connection: Connection, endpoint_id: int, *, overlap_s: float, now: datetime | None = None
) -> tuple[str, datetime]:
    """Give an endpoint a new secret; return it, and until when the one before signs beside it.

    Raises:
        WebhookUsageError: there is no such endpoint.
    """
    secret = new_secret()
    row = _change(connection, "webhooks.rotate_secret", endpoint_id, secret=secret, overlap_s=overlap_s, now=now)
    return secret, row["previous_secret_until"]


def enable_endpoint(connection: Connection, endpoint_id: int) -> None:
    """Send to it again, what waited meanwhile first.

    Raises:
        WebhookUsageError: there is no such endpoint.
    """
    _change(connection, "webhooks.enable_endpoint", endpoint_id)


def disable_endpoint(connection: Connection, endpoint_id: int, *, reason: str) -> None:
    """Send nothing more to it: new events are not kept for it, those that wait stay.

    Raises:
        WebhookUsageError: there is no such endpoint.
    """
    _change(connection, "webhooks.disable_endpoint", endpoint_id, reason=reason)


def remove_endpoint(connection: Connection, endpoint_id: int) -> None:
    """Delete it with its deliveries.

    Raises:
        WebhookUsageError: there is no such endpoint.
    """
    _change(connection, "webhooks.remove_endpoint", endpoint_id)


def _change(connection: Connection, name: str, endpoint_id: int, **parameters: Any) -> Row:
    row = connection.execute(query(name), {"endpoint_id": endpoint_id, **parameters}).fetchone()
    if row is None:
        raise WebhookUsageError(f"no endpoint {endpoint_id}; `salespulse webhook list` shows them")
    return row
