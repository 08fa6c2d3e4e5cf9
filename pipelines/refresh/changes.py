"""Which keys changed: one bounded batch, cut between transactions."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from dbsql import query
from pipelines.refresh.connections import Connection
from pipelines.refresh.state import ANCHOR_COUNT, RefreshState, xid_texts

Document: TypeAlias = tuple[str, str]
"""(kind, natural key); the kind is `sale` or `return`."""

DOCUMENT_KINDS = ("sale", "return")


@dataclass
class Batch:
    """What one refresh transaction applies.

    Attributes:
        documents: changed sales and returns.
        dimensions: entity to changed keys.
        whole_entities: entities of which every key may have changed (TRUNCATE).
        applied_xids: transactions that are applied completely with this batch.
        last_xid: the newest of them; None when there are none.
        is_complete: whether nothing visible is left after it.
        oversized_xid: a transaction with more changed documents than a batch may hold; its documents go to the queue.
    """

    documents: dict[Document, None] = field(default_factory=dict)
    dimensions: dict[str, set[str]] = field(default_factory=dict)
    whole_entities: set[str] = field(default_factory=set)
    applied_xids: set[int] = field(default_factory=set)
    last_xid: int | None = None
    is_complete: bool = True
    oversized_xid: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to apply."""
        return not (self.documents or self.dimensions or self.whole_entities or self.applied_xids)

    def add(self, entity: str, key: str | None) -> None:
        """Add one changed key; None stands for every key of the entity."""
        if key is None:
            self.whole_entities.add(entity)
        elif entity in DOCUMENT_KINDS:
            self.documents[entity, key] = None
        else:
            self.dimensions.setdefault(entity, set()).add(key)


def read_batch(replica: Connection, state: RefreshState, *, max_keys: int) -> Batch:
    """Read at most `max_keys` changed keys, cut so that each transaction is in the batch whole or not at all.

    Args:
        replica: inside the snapshot.
        state: the watermark.
        max_keys: in the batch; one transaction that alone has more is reported as `oversized_xid`.
    """
    rows = replica.execute(
        query("changes.changes_from_horizon"),
        {"horizon": str(state.horizon), "seen": xid_texts(state.seen), "row_limit": max_keys + 1},
    ).fetchall()
    batch = Batch()
    if len(rows) > max_keys:
        batch.is_complete = False
        cut_xid = rows[-1]["xid"]
        whole = [row for row in rows if row["xid"] < cut_xid]
        if not whole:
            return _oversized(replica, cut_xid)
        rows = whole
    for row in rows:
        batch.add(row["entity"], row["key"])
        batch.applied_xids.add(row["xid"])
        batch.last_xid = row["xid"]
    return batch


def _oversized(replica: Connection, xid: int) -> Batch:
    batch = Batch(is_complete=False, oversized_xid=xid, applied_xids={xid}, last_xid=xid)
    for row in replica.execute(query("changes.transaction_other_keys"), {"xid": str(xid)}):
        batch.add(row["entity"], row["key"])
    return batch


def next_watermark(state: RefreshState, batch: Batch, *, horizon: int) -> tuple[int, frozenset[int]]:
    """Return the next watermark: (horizon, applied transactions above it).

    All transactions below the snapshot's horizon have ended, so a complete batch moves the watermark there. A batch that
    was cut at transaction c applied everything up to c, so the watermark may move to c + 1, but no further than the
    snapshot's horizon: above it an older transaction may still be open.
    """
    next_horizon = horizon if batch.is_complete or batch.last_xid is None else min(horizon, batch.last_xid + 1)
    # The watermark never goes backwards by itself.
    next_horizon = max(next_horizon, state.horizon)
    seen = {xid for xid in state.seen | batch.applied_xids if xid >= next_horizon}
    return next_horizon, frozenset(seen)


def read_anchors(replica: Connection, *, horizon: int, applied: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Read some of the newest applied log rows in the snapshot, as (xid, change_id)."""
    newest = max(applied, default=horizon - 1)
    rows = replica.execute(
        query("changes.newest_anchors"), {"horizon": str(max(horizon, newest + 1)), "row_limit": ANCHOR_COUNT}
    ).fetchall()
    return tuple((row["xid"], row["change_id"]) for row in rows)
