"""Documents of ended jobs, as the archive passes them to the outbox."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from background_jobs.webhooks import enqueue_deliveries
from dbconnect.routes import Connection
from tests.warehouse import one

TENANT, OTHER_TENANT = "north", "south"

Document = dict[str, Any]


def job(state: str = "succeeded", tenant: str = TENANT, **changes: Any) -> Document:
    return {
        "id": str(uuid4()),
        "tenant": tenant,
        "kind": "hello_world",
        "state": state,
        "ended_at": "2999-01-01T00:00:00.000Z",
        "note": "süß",
        **changes,
    }


def enqueue_document(connection: Connection, document: Document) -> int:
    with connection.transaction(), connection.cursor() as cursor:
        return enqueue_deliveries(cursor, document)


def later(connection: Connection, **by: float) -> datetime:
    """The server's time plus a duration."""
    return one(connection, "SELECT clock_timestamp()") + timedelta(**by)
