"""Deliveries: written with what they tell of, kept as a log, sent again by hand."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from background_jobs.webhooks.errors import WebhookUsageError
from dbconnect.routes import Connection, Row
from dbsql import query


def enqueue(cursor: psycopg.Cursor[Any], job: Mapping[str, Any]) -> int:
    """Have the endpoints of a job's tenant told of its ending, once the cursor's transaction commits.

    Doing so again for the same job and ending adds nothing.

    Args:
        cursor: of the transaction that archives the ending, as the pipeline's role.
        job: the job's document with `id`, `tenant`, `state` (an ending) and `ended_at` (RFC 3339): sent as it is.

    Returns:
        how many deliveries were added.
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
    """Give the log, the newest first: one row per event and endpoint, with what the last attempt came to."""
    parameters = {"endpoint_id": endpoint_id, "job_id": job_id, "state": state, "row_limit": limit}
    return connection.execute(query("webhooks.list_deliveries"), parameters).fetchall()


def redeliver(connection: Connection, delivery_id: UUID, *, now: datetime | None = None) -> None:
    """Have a delivery sent again at once, whatever became of it; the receiver sees the same `webhook-id`.

    Raises:
        WebhookUsageError: there is none of that id.
    """
    row = connection.execute(query("webhooks.redeliver"), {"delivery_id": delivery_id, "now": now}).fetchone()
    if row is None:
        raise WebhookUsageError(f"no delivery {delivery_id}; `salespulse webhook deliveries` shows them")


def prune_deliveries(connection: Connection, *, keep_days: float, now: datetime | None = None) -> int:
    """Delete the deliveries that ended so long ago, and say how many. Keep them as long as the archive of jobs at least."""
    parameters = {"keep_s": keep_days * 86400, "now": now}
    return connection.execute(query("webhooks.prune_deliveries"), parameters).rowcount
