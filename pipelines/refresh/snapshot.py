"""One read-only snapshot of the replica, and whether it continues the history that the facts were built from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import psycopg

from dbsql import query
from pipelines.refresh.connections import Connection, Connections
from pipelines.refresh.errors import ForeignSourceError, RefreshError, ReplicaBehindError
from pipelines.refresh.state import RefreshState, set_limits, xid_texts

_NOT_INSTALLED = "the source has no change log: run `salespulse migrate` and `salespulse source install`"


@dataclass(frozen=True)
class Snapshot:
    """An open snapshot; the replica's connection is inside its transaction as long as the context lasts.

    Attributes:
        horizon: `pg_snapshot_xmin`: every transaction below it has ended.
        lsn: upper bound of what the snapshot shows.
        timeline: of the server's history.
        system_identifier: of the cluster.
        as_of: the snapshot shows every sale committed before this moment.
        is_replica: whether the server is in recovery.
        breaks: why the history is not the one that the facts were built from; empty when it is.
    """

    horizon: int
    lsn: str
    timeline: int
    system_identifier: str
    as_of: datetime
    is_replica: bool
    breaks: tuple[str, ...] = field(default=())

    def without_breaks(self) -> "Snapshot":
        """Return the same snapshot for a further batch: the first one handles a break in the history."""
        return replace(self, breaks=())


@contextmanager
def open_snapshot(
    connections: Connections, state: RefreshState | None, *, statement_timeout_s: float
) -> Iterator[Snapshot]:
    """Open a REPEATABLE READ, READ ONLY transaction on the replica.

    The position that is compared with the state is read before the snapshot opens (a lower bound of what it shows), the
    one that is stored is read inside (an upper bound): so a second replica that passes the check can't show less than
    the first did.

    Raises:
        ReplicaBehindError: the replica has not replayed what the facts reflect already.
        ForeignSourceError: it belongs to another cluster.
        RefreshError: the source is not installed there.
    """
    replica = connections.replica
    try:
        position = replica.execute(query("changes.replica_position")).fetchone()
    except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction) as error:
        raise RefreshError(_NOT_INSTALLED) from error
    if position is None or position["lsn"] is None or position["timeline"] is None:
        raise ReplicaBehindError("the replica has just started and does not know its position yet")
    if state is not None:
        _check_cluster(state, position["system_identifier"])
    with replica.transaction():
        replica.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        anchors = state.anchors if state is not None else ()
        try:
            row = replica.execute(
                query("changes.snapshot_horizon"),
                {
                    "anchor_xids": xid_texts(xid for xid, _ in anchors),
                    "anchor_change_ids": [change_id for _, change_id in anchors],
                },
            ).fetchone()
        except psycopg.errors.UndefinedTable as error:
            raise RefreshError(_NOT_INSTALLED) from error
        if row is None:
            raise RefreshError("salespulse_source.heartbeat has no row: run `salespulse migrate`")
        # Each may lag behind the history that the snapshot shows, neither can be ahead of it.
        timeline = max(position["timeline"], row["beat_timeline"] or 0)
        if state is not None and timeline == state.timeline:
            _check_reached(connections.warehouse, position["lsn"], state.applied_lsn)
        elif state is not None and timeline < state.timeline:
            raise ReplicaBehindError(
                f"the replica is on timeline {timeline}, but the facts were built from timeline {state.timeline}: "
                "it has not followed the failover yet"
            )
        set_limits(replica, lock_wait_s=statement_timeout_s, statement_timeout_s=statement_timeout_s)
        yield Snapshot(
            horizon=row["horizon"],
            lsn=row["lsn"],
            timeline=timeline,
            system_identifier=position["system_identifier"],
            as_of=max(moment for moment in (position["replayed_at"], row["beat_at"]) if moment is not None),
            is_replica=position["is_replica"],
            breaks=_breaks(state, timeline, row),
        )


def _check_cluster(state: RefreshState, system_identifier: str) -> None:
    if state.system_identifier != system_identifier:
        raise ForeignSourceError(
            f"the replica belongs to cluster {system_identifier}, but the facts were built from cluster "
            f"{state.system_identifier}. If the application really moved, run `salespulse reconcile --new-source`; "
            "otherwise correct SALESPULSE_REPLICA_URL"
        )


def _check_reached(warehouse: Connection, lsn: str, applied_lsn: str) -> None:
    row = warehouse.execute(query("state.lsn_reached"), {"lsn": lsn, "applied_lsn": applied_lsn}).fetchone()
    if row is None or not row["is_reached"]:
        raise ReplicaBehindError(
            f"the replica has replayed up to {lsn}, but the facts already reflect {applied_lsn}: waiting for it to catch up"
        )


def _breaks(state: RefreshState | None, timeline: int, visible_row: dict[str, Any]) -> tuple[str, ...]:
    """Name what shows that history was rewritten, or that part of the change log was pruned before it was applied.

    After an asynchronous failover transaction ids are used again. A warehouse that was restored from a backup may need rows
    that are gone.
    """
    if state is None:
        return ()
    breaks = []
    if timeline != state.timeline:
        breaks.append(f"timeline {timeline} instead of {state.timeline}: another server was promoted")
    if visible_row["horizon"] < state.horizon:
        breaks.append(
            f"transaction horizon {visible_row['horizon']} is below the watermark {state.horizon}: ids are being reused"
        )
    if visible_row["anchors_found"] < len(state.anchors):
        breaks.append(f"{len(state.anchors) - visible_row['anchors_found']} applied rows of the change log are gone")
    if (visible_row["pruned_through"] or 0) > state.horizon:
        breaks.append(
            f"the change log is pruned through transaction {visible_row['pruned_through']}, above the watermark {state.horizon}: "
            "the warehouse is older than the log"
        )
    return tuple(breaks)
