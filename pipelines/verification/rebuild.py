"""Rebuild one rollup (new, or with a changed definition) from the facts, without touching the application's tables."""

from collections.abc import Callable
from datetime import date

from dbconnect.error_mapping import mapped_errors
from pipelines.refresh.connections import Connections
from pipelines.refresh.options import RefreshOptions
from pipelines.refresh.rollups import Rollup
from pipelines.refresh.runner import take_lock
from pipelines.verification.date_ranges import month_of, months_with_rows
from pipelines.verification.rollup_drift import recompute


def rebuild(
    connections: Connections,
    options: RefreshOptions,
    rollup: Rollup,
    *,
    progress: Callable[[date, date], None] | None = None,
) -> int:
    """Set every row of a rollup to what its SQL gives over the facts; give the rows written.

    A month is one transaction, so live refreshes take their turn in between and readers never see a gap. A row outside
    the facts' dates is removed too.

    Args:
        connections: only the warehouse is used.
        options: lock and statement limits.
        rollup: which one.
        progress: called after each month with its first day and the last month's.

    Raises:
        LockTimeoutError: a refresh did not let go of the lock in time.
    """
    written = 0
    with mapped_errors(f"rebuilding {rollup.name}"):
        pieces = [month_of(month) for month in sorted(months_with_rows(connections, (rollup,)))]
        for window in pieces:
            with connections.warehouse.transaction():
                take_lock(connections, options)
                written += recompute(connections.warehouse, rollup, window)
            if progress is not None:
                progress(window.month, pieces[-1].month)
    return written
