"""Observe source and state without applying anything: for the sensor, the status command and the metrics."""

from dataclasses import dataclass
from datetime import UTC, datetime

from dbconnect.error_mapping import mapped_errors
from dbsql import query
from pipelines.refresh.backfill_queue import count_pending
from pipelines.refresh.connections import Connections
from pipelines.refresh.state import RefreshState, read_state, xid_texts

# Counting stops here.
_COUNT_LIMIT = 10_000


@dataclass(frozen=True)
class SourceObservation:
    """How the facts stand to the replica, and the replica to the primary.

    Attributes:
        pending_changes: visible change-log rows not applied yet (counted up to 10,000).
        newest_change_id: the newest of them; 0 when there are none.
        oldest_logged_at: the start of the oldest one's transaction; None when there are none.
        queued_documents: documents waiting in the queue (backfill, reconciliation).
        quarantined_documents: documents that can't be counted as they are.
        lag_bytes: primary's position less the replica's; None without a primary connection.
        lag_s: age of the heartbeat that the replica shows, in seconds.
        horizon: the watermark; None before the first refresh.
        as_of: the facts reflect the sales at least up to this moment; None before the first refresh.
        shown_at: the replica shows every sale committed before this moment.
        is_replica: whether the server that is read is in recovery.
        is_installed: whether the application's mapping has been installed there.
    """

    pending_changes: int
    newest_change_id: int
    oldest_logged_at: datetime | None
    queued_documents: int
    quarantined_documents: int
    lag_bytes: int | None
    lag_s: float
    horizon: int | None
    as_of: datetime | None
    shown_at: datetime
    is_replica: bool
    is_installed: bool = True

    @property
    def is_pending(self) -> bool:
        """Whether a refresh would find something to do (the very first one always does)."""
        return self.is_installed and (self.pending_changes > 0 or self.queued_documents > 0 or self.horizon is None)

    @property
    def staleness_s(self) -> float | None:
        """Seconds between now and `as_of`; None before the first refresh."""
        return None if self.as_of is None else max(0.0, (datetime.now(UTC) - self.as_of).total_seconds())


def observe_source(connections: Connections) -> SourceObservation:
    """Observe once, with a few short statements; nothing is written.

    Raises:
        RefreshError: the source or the warehouse is not installed.
        UnavailableError: a server went away.
    """
    with mapped_errors("observing the source"):
        state = read_state(connections.warehouse)
        flushed = _primary_lsn(connections)
        visible = connections.replica.execute(query("observe.replica"), {"primary_lsn": flushed}).fetchone()
        pending = connections.replica.execute(
            query("changes.observe_pending"),
            {
                "horizon": str(state.horizon if state else 0),
                "seen": xid_texts(state.seen) if state else [],
                "row_limit": _COUNT_LIMIT,
            },
        ).fetchone()
        quarantined = connections.warehouse.execute(query("observe.count_quarantined")).fetchone()
        if visible is None or pending is None or quarantined is None:
            message = "salespulse_source.heartbeat has no row: run `salespulse migrate`"
            raise AssertionError(message)
        return SourceObservation(
            **pending,
            **visible,
            **quarantined,
            queued_documents=count_pending(connections.warehouse),
            horizon=state.horizon if state else None,
            as_of=state.as_of if state else None,
        )


def advance_as_of(connections: Connections, observation: SourceObservation) -> bool:
    """Move `as_of` to the observed moment; return whether that was done.

    Only if nothing was pending at that moment and no refresh is under way: so an idle shop's dashboard stays seconds old
    without a run.
    """
    if observation.is_pending or observation.horizon is None:
        return False
    warehouse = connections.warehouse
    with mapped_errors("advancing the freshness"), warehouse.transaction():
        lock = warehouse.execute(query("state.try_lock")).fetchone()
        state: RefreshState | None = read_state(warehouse)
        if lock is None or not lock["is_taken"] or state is None or state.horizon != observation.horizon:
            return False
        warehouse.execute(query("state.advance_as_of"), {"as_of": observation.shown_at})
    return True


def _primary_lsn(connections: Connections) -> str | None:
    if connections.primary is None:
        return None
    row = connections.primary.execute(query("observe.primary_lsn")).fetchone()
    return row["lsn"] if row is not None else None
