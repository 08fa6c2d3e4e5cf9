"""Rebuild one rollup (new, or with a changed definition) from the facts, without touching the application's tables."""

from collections.abc import Callable
from datetime import date

from psycopg import sql

from dbsql import query
from pipelines.refresh.connections import Connections
from pipelines.refresh.explain import explained
from pipelines.refresh.options import RefreshOptions
from pipelines.refresh.rollups import Rollup
from pipelines.refresh.runner import take_lock
from pipelines.verification.recompute import recompute
from pipelines.verification.windows import windows


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
        RefreshBusyError: a refresh did not let go of the lock in time.
    """
    written = 0
    with explained(f"rebuilding {rollup.name}"):
        bounds = rollup_bounds(connections, (rollup,))
        if bounds is None:
            return 0
        pieces = list(windows(bounds[0].replace(day=1), bounds[1]))
        for window in pieces:
            with connections.warehouse.transaction():
                take_lock(connections, options)
                written += recompute(connections.warehouse, rollup, window)
            if progress is not None:
                progress(window.month, pieces[-1].month)
    return written


def rollup_bounds(connections: Connections, rollups: tuple[Rollup, ...]) -> tuple[date, date] | None:
    """Give the first and the last business date of the facts and of these rollups; None where there are none."""
    found: list[date] = []
    row = connections.warehouse.execute(query("verify.facts_bounds")).fetchone()
    if row is not None:
        found += [moment for moment in row.values() if moment is not None]
    for rollup in rollups:
        row = connections.warehouse.execute(
            sql.SQL("SELECT min({0}) AS first_date, max({0}) AS last_date FROM {1}").format(
                sql.Identifier(rollup.date_column), rollup.table
            )
        ).fetchone()
        if row is not None:
            found += [moment for moment in row.values() if moment is not None]
    return (min(found), max(found)) if found else None
