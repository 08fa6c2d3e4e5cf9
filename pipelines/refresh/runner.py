"""The refresh: lock, one replica snapshot, changes past the watermark, signed differences, watermark, one commit."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dbconnect.error_mapping import mapped_errors
from dbsql import FIRST_DATE, LAST_DATE, query
from pipelines.refresh.apply import apply_documents
from pipelines.refresh.backfill_queue import (
    count_pending,
    enqueue_kind,
    enqueue_range,
    enqueue_transaction,
    take_pending,
)
from pipelines.refresh.changes import DOCUMENT_KINDS, next_watermark, read_anchors, read_batch
from pipelines.refresh.connections import Connections
from pipelines.refresh.dimensions import DIMENSION_ENTITIES, apply_dimensions
from pipelines.refresh.options import Phases, RefreshOptions, RefreshResult
from pipelines.refresh.snapshot import Snapshot, open_snapshot
from pipelines.refresh.state import RefreshState, read_state, set_limits, write_state

_POLL_S = 0.25
_PRUNE_ROWS = 20_000


def no_hook(step: str) -> None:
    """Do nothing at a step's end: the default of `at`, which tests and progress bars set."""
    del step


def refresh(
    connections: Connections,
    options: RefreshOptions,
    *,
    drain_s: float = 0.0,
    at: Callable[[str], None] = no_hook,
    progress: Callable[[RefreshResult], None] | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> RefreshResult:
    """Bring facts and rollups up to the replica's present state.

    Works in bounded transactions until nothing visible is left; each is complete in itself, so the tables are exact to
    some snapshot at every moment, and a crash loses at most the transaction under way.

    Args:
        connections: see `Connections`.
        options: see `RefreshOptions`.
        drain_s: go on looking for new changes this long, instead of ending at the first moment without any.
        at: called with each step's name as it ends.
        progress: called after each transaction with the sums so far.
        wait: waits a number of seconds between polls while draining.

    Raises:
        LockTimeoutError: another refresh held the lock for too long.
        ReplicaBehindError: the replica shows less than the facts reflect already.
        ForeignSourceError: the replica belongs to another cluster.
        RefreshError: a privilege, table or column is missing, a disk is full.
        UnavailableError: a server went away.
    """
    result = RefreshResult()
    ends_at = time.monotonic() + drain_s
    phases = Phases(result.seconds, at)
    with mapped_errors("refreshing"):
        while True:
            refresh_transaction(connections, options, result, phases)
            if progress is not None:
                progress(result)
            if not result.is_drained:
                continue
            if time.monotonic() >= ends_at:
                break
            wait(_POLL_S)
            phases("wait")
        _prune_change_log(connections, options, result)
        phases("prune")
    return result


def refresh_transaction(
    connections: Connections, options: RefreshOptions, result: RefreshResult, phases: Phases
) -> None:
    """Apply one bounded batch in one warehouse transaction, and add what it did to `result`."""
    warehouse = connections.warehouse
    started_at = datetime.now(UTC)
    before = (result.applied.documents, result.dimension_rows)
    with warehouse.transaction():
        take_lock(connections, options)
        state = read_state(warehouse)
        phases("lock")
        with open_snapshot(connections, state, statement_timeout_s=options.statement_timeout_s) as snapshot:
            phases("snapshot")
            apply_snapshot(connections, options, snapshot, state, result, phases)
        if (result.applied.documents, result.dimension_rows) != before:
            _write_log(connections, started_at, result, before)
        phases("state")
    result.transactions += 1
    phases("commit")


def restart_history(connections: Connections, options: RefreshOptions, *, reason: str) -> None:
    """Forget the watermark: the next refresh takes a new one and applies every document of source and facts again.

    Only for a source that was moved to another cluster on purpose; a failover is detected and handled automatically.

    Args:
        connections: only the warehouse is used.
        options: lock and statement limits.
        reason: kept with the event, for operators.
    """
    warehouse = connections.warehouse
    with mapped_errors("restarting history"), warehouse.transaction():
        take_lock(connections, options)
        warehouse.execute(query("state.forget_all_seen"))
        warehouse.execute(query("state.forget_state"))
        warehouse.execute(query("state.write_continuity_event"), {"reason": reason, "enqueued_documents": 0})


def take_lock(connections: Connections, options: RefreshOptions) -> None:
    """Take the one lock of everything that writes facts, for the transaction; before any snapshot opens."""
    set_limits(connections.warehouse, lock_wait_s=options.lock_wait_s, statement_timeout_s=options.statement_timeout_s)
    connections.warehouse.execute(query("state.take_lock"))


def apply_snapshot(
    connections: Connections,
    options: RefreshOptions,
    snapshot: Snapshot,
    state: RefreshState | None,
    result: RefreshResult,
    phases: Phases,
) -> RefreshState:
    """Apply one batch of what the open snapshot shows, and move the watermark; return the new state.

    `result.is_drained` says whether the snapshot showed nothing more.
    """
    warehouse = connections.warehouse
    known_xids = state.seen if state is not None else frozenset()
    begins = state is None or bool(snapshot.breaks)
    if state is None or begins:
        state = _begin_history(connections, options, snapshot, state, result)
        phases("history")
    batch = read_batch(connections.replica, state, max_keys=options.batch_documents)
    phases("changes")
    if batch.oversized_xid is not None:
        enqueue_transaction(connections, batch.oversized_xid)
    for kind in DOCUMENT_KINDS:
        if kind in batch.whole_entities:
            enqueue_kind(connections, options.mapping, kind)
    whole = set(DIMENSION_ENTITIES) if begins else batch.whole_entities
    if whole or batch.dimensions:
        result.dimension_rows += apply_dimensions(connections, options.mapping, batch.dimensions, whole)
        phases("dimensions")
    room = options.batch_documents - len(batch.documents)
    for document in take_pending(warehouse, room) if room > 0 else ():
        batch.documents[document] = None
    if batch.documents:
        result.applied.add(apply_documents(connections, options.mapping, batch.documents, at=phases))
    horizon, seen = next_watermark(state, batch, horizon=snapshot.horizon)
    anchors = state.anchors
    if batch.applied_xids or not anchors:
        anchors = read_anchors(connections.replica, horizon=horizon, applied=batch.applied_xids)
    result.pending_documents = count_pending(warehouse)
    result.is_drained = batch.is_complete and result.pending_documents == 0
    state = replace(
        state,
        horizon=horizon,
        seen=seen,
        anchors=anchors,
        applied_lsn=snapshot.lsn,
        timeline=snapshot.timeline,
        system_identifier=snapshot.system_identifier,
        as_of=snapshot.as_of if result.is_drained else state.as_of,
    )
    write_state(warehouse, state, known_xids=known_xids)
    result.horizon, result.applied_lsn, result.timeline = horizon, snapshot.lsn, snapshot.timeline
    result.as_of = state.as_of
    return state


def _begin_history(
    connections: Connections,
    options: RefreshOptions,
    snapshot: Snapshot,
    state: RefreshState | None,
    result: RefreshResult,
) -> RefreshState:
    """Take a new watermark and queue all of history: at the first refresh, and where history was rewritten.

    After a failover that lost transactions nothing says which documents they had touched, so every document of the
    source and of the facts is applied again. That is exact without any assumption, bounded in memory, and goes on
    beside live changes; an unchanged document costs a read.
    """
    reason = "first refresh" if state is None else "; ".join(snapshot.breaks)
    enqueued = enqueue_range(
        connections,
        options.mapping,
        from_date=FIRST_DATE,
        to_date=LAST_DATE,
        reason="backfill" if state is None else "reconciliation",
        is_whole=True,
    )
    if state is not None:
        result.reconciled = (*result.reconciled, reason)
        connections.warehouse.execute(query("state.forget_all_seen"))
        connections.warehouse.execute(
            query("state.write_continuity_event"), {"reason": reason, "enqueued_documents": enqueued}
        )
        connections.warehouse.execute(query("state.forget_state"))
    return RefreshState(
        horizon=snapshot.horizon,
        applied_lsn=snapshot.lsn,
        timeline=snapshot.timeline,
        system_identifier=snapshot.system_identifier,
        anchors=(),
        seen=frozenset(),
        as_of=state.as_of if state is not None else datetime.fromtimestamp(0, UTC),
    )


def _write_log(connections: Connections, started_at: datetime, result: RefreshResult, before: tuple[int, int]) -> None:
    connections.warehouse.execute(
        query("state.write_log"),
        {
            "started_at": started_at,
            "as_of": result.as_of,
            "horizon": str(result.horizon),
            "changed_documents": result.applied.documents - before[0],
            "changed_dimension_rows": result.dimension_rows - before[1],
            "rows_written": sum(result.applied.rows_written.values()),
        },
    )


def _prune_change_log(connections: Connections, options: RefreshOptions, result: RefreshResult) -> None:
    """Prune what was applied the keep time ago from the change log on the primary, at most every `prune_every_s`."""
    warehouse = connections.warehouse
    state = read_state(warehouse)
    if connections.primary is None or state is None or state.pruned_at is None:
        return
    if datetime.now(UTC) - state.pruned_at < timedelta(seconds=options.prune_every_s):
        return
    warehouse.execute(query("retention.note_horizon"))
    past = warehouse.execute(query("retention.read_past_horizon"), {"keep_s": options.keep_s}).fetchone()
    while past is not None:
        row = connections.primary.execute(
            query("retention.prune_change_log"),
            {
                "horizon": past["horizon"],
                "anchor_change_ids": [change_id for _, change_id in state.anchors],
                "row_limit": _PRUNE_ROWS,
            },
        ).fetchone()
        rows = row["pruned"] if row is not None else 0
        result.pruned += rows
        if rows < _PRUNE_ROWS:
            break
    warehouse.execute(query("retention.mark_change_log_pruned"))
