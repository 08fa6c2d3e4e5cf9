"""The queue of documents to apply regardless of the change log: backfills, re-dated stores, reconciliations."""

from datetime import UTC, date, datetime, time, timedelta

from dbsql import query
from pipelines.refresh.changes import DOCUMENT_KINDS, Document
from pipelines.refresh.connections import Connection, Connections
from pipelines.refresh.copy_stream import copy_across, source_query
from pipelines.source.mapping import SourceMapping


def enqueue_range(
    connections: Connections,
    mapping: SourceMapping,
    *,
    from_date: date,
    to_date: date,
    reason: str,
    is_whole: bool = False,
) -> int:
    """Queue every document of a range of business dates, from the source and from the facts; return how many were new.

    The facts' side matters where a source row is gone. Business dates are local and moments are UTC, so the source is
    read for a day more on each side; applying an unchanged document does nothing. Waits for a refresh that is under way,
    after the source's keys were read.

    Args:
        connections: replica in or outside a snapshot; warehouse in or outside a transaction.
        mapping: which application.
        from_date: first business date.
        to_date: last business date, inclusive.
        reason: shown to operators.
        is_whole: all of history, whatever the dates say, and lines and payments whose document is not there.
    """
    warehouse = connections.warehouse
    with warehouse.transaction():
        warehouse.execute(query("state.create_enqueue_stage"))
        copy_across(
            connections.replica,
            source_query("copy_document_keys", mapping),
            {**moments(from_date, to_date), "is_whole": is_whole},
            warehouse,
            "state.copy_enqueue_stage",
        )
        for kind in DOCUMENT_KINDS if is_whole else ():
            _stage_orphans(connections, mapping, kind)
        # A refresh under way may queue or take the same documents in another order: each would wait for the other.
        warehouse.execute(query("state.take_lock"))
        enqueued = warehouse.execute(query("state.enqueue_stage"), {"reason": reason}).rowcount
        enqueued += warehouse.execute(
            query("state.enqueue_facts"), {"reason": reason, "from_date": from_date, "to_date": to_date}
        ).rowcount
        warehouse.execute(query("state.drop_enqueue_stage"))
    return enqueued


def enqueue_transaction(connections: Connections, xid: int) -> int:
    """Queue the documents of one transaction that changed more than a batch may hold; return how many were new."""
    warehouse = connections.warehouse
    with warehouse.transaction():
        warehouse.execute(query("state.create_enqueue_stage"))
        with (
            connections.replica.cursor().copy(query("changes.copy_transaction_keys"), {"xid": str(xid)}) as outgoing,
            warehouse.cursor().copy(query("state.copy_enqueue_stage")) as incoming,
        ):
            for block in outgoing:
                incoming.write(block)
        enqueued = warehouse.execute(query("state.enqueue_stage"), {"reason": "large transaction"}).rowcount
        warehouse.execute(query("state.drop_enqueue_stage"))
    return enqueued


def enqueue_kind(connections: Connections, mapping: SourceMapping, kind: str) -> int:
    """Queue every document of a kind that a TRUNCATE may have changed; return how many were new.

    They are those that facts and quarantine hold, and those that the source still has lines or payments of: neither facts nor
    quarantine know a document that did not count.
    """
    warehouse, reason = connections.warehouse, "table truncated"
    with warehouse.transaction():
        warehouse.execute(query("state.create_enqueue_stage"))
        _stage_orphans(connections, mapping, kind)
        enqueued = warehouse.execute(query("state.enqueue_stage"), {"reason": reason}).rowcount
        warehouse.execute(query("state.drop_enqueue_stage"))
        parameters = {"document_kind": kind, "reason": reason}
        return enqueued + warehouse.execute(query("state.enqueue_kind"), parameters).rowcount


def take_pending(warehouse: Connection, limit: int) -> list[Document]:
    """Take the oldest documents out of the queue, within the caller's transaction."""
    rows = warehouse.execute(query("state.take_pending"), {"row_limit": limit}).fetchall()
    return [(row["document_kind"], row["document_id"]) for row in rows]


def count_pending(warehouse: Connection) -> int:
    """Return how many documents are queued."""
    row = warehouse.execute(query("state.count_pending")).fetchone()
    return row["pending_documents"] if row is not None else 0


def _stage_orphans(connections: Connections, mapping: SourceMapping, kind: str) -> None:
    statement = source_query(f"copy_orphan_{kind}_keys", mapping)
    copy_across(connections.replica, statement, {}, connections.warehouse, "state.copy_enqueue_stage")


def moments(from_date: date, to_date: date) -> dict[str, datetime]:
    """Return the range of moments (UTC) in which a business date of the range can lie in any time zone."""
    return {
        "from_at": datetime.combine(from_date - timedelta(days=1), time(), UTC),
        "to_at": datetime.combine(to_date + timedelta(days=2), time(), UTC),
    }
