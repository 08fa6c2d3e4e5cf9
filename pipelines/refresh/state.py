"""The watermark: how far the facts reflect the source, and from which server's history that was read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from dbsql import query
from pipelines.refresh.connections import Connection

# Of more transactions than this above the horizon the rest is applied again: harmless, only slower.
SEEN_LIMIT = 100_000
ANCHOR_COUNT = 16
# A batch sorts and hashes some 100,000 narrow rows: enough to stay in memory, small beside any server's.
_WORK_MEM = "96MB"


@dataclass(frozen=True)
class RefreshState:
    """The one row of `refresh_state`, and the transactions above its horizon that are applied already.

    Attributes:
        horizon: every change of a transaction with a lower 64-bit id is applied.
        applied_lsn: upper bound of what the facts reflect, as PostgreSQL writes positions (`16/B374D848`).
        timeline: of the history that was read.
        system_identifier: of the cluster that was read.
        anchors: (xid, change_id) of some applied log rows; if they are gone, history was rewritten.
        seen: ids at or above the horizon that are applied.
        as_of: the facts reflect the sales at least up to this moment (UTC).
        refreshed_at: when the state was last written.
        pruned_at: when the change log was last pruned; None if never.
    """

    horizon: int
    applied_lsn: str
    timeline: int
    system_identifier: str
    anchors: tuple[tuple[int, int], ...]
    seen: frozenset[int]
    as_of: datetime
    refreshed_at: datetime | None = None
    pruned_at: datetime | None = None


def read_state(warehouse: Connection) -> RefreshState | None:
    """Read the state; None before the first refresh."""
    row = warehouse.execute(query("state.read_state")).fetchone()
    if row is None:
        return None
    anchors = tuple(zip(row.pop("anchor_xids"), row.pop("anchor_change_ids"), strict=True))
    return RefreshState(**{**row, "anchors": anchors, "seen": frozenset(row["seen"])})


def write_state(warehouse: Connection, state: RefreshState, *, known_xids: frozenset[int]) -> None:
    """Write the state within the caller's transaction.

    Args:
        warehouse: in the transaction that applied the changes.
        state: the new one.
        known_xids: the ids that `seen_transaction` held before, so that only the difference is written.
    """
    warehouse.execute(
        query("state.write_state"),
        {
            "horizon": str(state.horizon),
            "applied_lsn": state.applied_lsn,
            "timeline": state.timeline,
            "system_identifier": state.system_identifier,
            "anchor_xids": xid_texts(xid for xid, _ in state.anchors),
            "anchor_change_ids": [change_id for _, change_id in state.anchors],
            "as_of": state.as_of,
        },
    )
    if known_xids:
        warehouse.execute(query("state.forget_seen"), {"horizon": str(state.horizon)})
    room = max(0, SEEN_LIMIT - len(state.seen & known_xids))
    added = sorted(state.seen - known_xids)[:room]
    if added:
        warehouse.execute(query("state.remember_seen"), {"xids": xid_texts(added)})


def set_limits(connection: Connection, *, lock_wait_s: float, statement_timeout_s: float) -> None:
    """Set this transaction's timeouts (seconds); nothing outlives the transaction."""
    connection.execute(
        query("state.set_limits"),
        {
            "lock_timeout": f"{max(1, int(lock_wait_s * 1000))}ms",
            "statement_timeout": f"{int(statement_timeout_s * 1000)}ms",
            "work_mem": _WORK_MEM,
        },
    )


def xid_texts(xids: Iterable[int]) -> list[str]:
    """Return transaction ids as text, which is how PostgreSQL reads an xid8."""
    return [str(xid) for xid in xids]
