"""The watermark: how far the facts reflect the source, and from which server's history that was read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dbsql import query
from pipelines.refresh.connections import Connection

# More remembered transactions than this above the horizon, and the oldest rest is applied again: harmless, only slower.
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
    return RefreshState(
        horizon=row["horizon"],
        applied_lsn=row["applied_lsn"],
        timeline=row["timeline"],
        system_identifier=row["system_identifier"],
        anchors=tuple(zip(row["anchor_xids"], row["anchor_change_ids"], strict=True)),
        seen=frozenset(row["seen"]),
        as_of=row["as_of"],
        refreshed_at=row["refreshed_at"],
        pruned_at=row["pruned_at"],
    )


def write_state(warehouse: Connection, state: RefreshState, *, known: frozenset[int]) -> None:
    """Write the state within the caller's transaction.

    Args:
        warehouse: in the transaction that applied the changes.
        state: the new one.
        known: the ids that `seen_transaction` held before, so that only the difference is written.
    """
    warehouse.execute(
        query("state.write_state"),
        {
            "horizon": str(state.horizon),
            "applied_lsn": state.applied_lsn,
            "timeline": state.timeline,
            "system_identifier": state.system_identifier,
            "anchor_xids": [str(xid) for xid, _ in state.anchors],
            "anchor_change_ids": [change_id for _, change_id in state.anchors],
            "as_of": state.as_of,
        },
    )
    if known:
        warehouse.execute(query("state.forget_seen"), {"horizon": str(state.horizon)})
    room = max(0, SEEN_LIMIT - len(state.seen & known))
    added = sorted(state.seen - known)[:room]
    if added:
        warehouse.execute(query("state.remember_seen"), {"xids": [str(xid) for xid in added]})


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


def text_ids(ids: Any) -> list[str]:
    """Give transaction ids as PostgreSQL reads an xid8: text."""
    return [str(item) for item in ids]
