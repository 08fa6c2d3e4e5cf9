"""Webhook deliveries: enqueue them with a job's final state, list them, redeliver by hand, prune. The worker sends them."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from background_jobs.errors import WebhookUsageError
from dbconnect.routes import Connection, Row
from dbsql import query


def enqueue_deliveries(cursor: psycopg.Cursor[Any], job: Mapping[str, Any]) -> int:
    """Enqueue one delivery for each endpoint to be notified of a job's final state; return their number.

    They are sent once the cursor's transaction has committed. Repeating it for the same job adds nothing.

    Args:
        cursor: of the transaction that archives the final state, as the pipeline's role.
        job: the job's document with `id`, `tenant`, `state` (final) and `ended_at` (RFC 3339); it is the webhook's `data`.
    """
    event_type = f"job.{job['state']}"
    body = json.dumps({"type": event_type, "timestamp": job["ended_at"], "data": job}, separators=(",", ":"))
    parameters = {
        "job_id": job["id"],
        "event_type": event_type,
        "body": body,
        "tenant_id": job["tenant"],
        "ended_at": job["ended_at"],
    }
    cursor.execute(query("webhooks.enqueue"), parameters)
    return cursor.rowcount


def list_deliveries(
    connection: Connection,
    *,
    endpoint_id: int | None = None,
    job_id: str | None = None,
    state: str | None = None,
    limit: int = 50,
) -> list[Row]:
    """Return the log, newest first: one row per event and endpoint, with the result of the last attempt."""
    parameters = {"endpoint_id": endpoint_id, "job_id": job_id, "state": state, "row_limit": limit}
    return connection.execute(query("webhooks.list_deliveries"), parameters).fetchall()


def redeliver(connection: Connection, delivery_id: UUID, *, now: datetime | None = None) -> None:
    """Send a delivery again at once, whatever its state; the receiver gets the same `webhook-id`.

    Raises:
        WebhookUsageError: there is no such delivery.
    """
    row = connection.execute(query("webhooks.redeliver"), {"delivery_id": delivery_id, "now": now}).fetchone()
    if row is None:
        raise WebhookUsageError(f"there is no delivery {delivery_id}; `salespulse webhook deliveries` shows them")


def prune_deliveries(connection: Connection, *, keep_days: float, now: datetime | None = None) -> int:
    """Delete deliveries that ended more than `keep_days` days ago; return their number. Keep them as long as archived jobs."""
    parameters = {"keep_s": keep_days * 86400, "now": now}
    return connection.execute(query("webhooks.prune_deliveries"), parameters).rowcount
