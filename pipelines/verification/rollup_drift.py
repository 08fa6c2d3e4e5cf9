"""Compare a rollup's rows with its SQL over the facts or the staged source, repair those that differ, rebuild them all."""

from collections.abc import Callable
from datetime import date
from typing import Any

from psycopg import sql

from dbconnect.error_mapping import mapped_errors
from dbsql import query
from pipelines.refresh.connections import Connection, Connections
from pipelines.refresh.options import RefreshOptions
from pipelines.refresh.rollups import Rollup
from pipelines.refresh.runner import take_lock
from pipelines.verification.date_ranges import DateRange, month_of, months_with_rows
from pipelines.verification.report import NAME_LIMIT, DriftedRow


def find_drifted_rows(
    warehouse: Connection, rollup: Rollup, select: sql.Composed, window: DateRange
) -> tuple[int, list[DriftedRow]]:
    """Compare the rollup's rows of a window with its SELECT; return how many differ, and the first of them.

    Args:
        warehouse: holds the rollup.
        rollup: which one.
        select: `Rollup.over_facts` or `Rollup.over_staged_source`.
        window: which days; for a monthly rollup their whole month.
    """
    rows = warehouse.execute(
        rollup.statement("list_drifted_rows", select),
        {**window.parameters(monthly=rollup.is_monthly), "row_limit": NAME_LIMIT},
    ).fetchall()
    return (rows[0]["drifted"] if rows else 0), [_drifted_row(warehouse, rollup, row) for row in rows]


def repair_rows(warehouse: Connection, rollup: Rollup, window: DateRange) -> int:
    """Set a rollup's rows of a window to what its SQL gives over the facts; return how many differed.

    Only rows that differ are written, so readers never see the table empty, and an exact table is not touched. Their
    tenants get a new version: none of their documents changed, but a figure did.
    """
    drifted = warehouse.execute(
        rollup.statement("create_drifted_rows", rollup.over_facts()), window.parameters(monthly=rollup.is_monthly)
    ).rowcount
    if drifted:
        warehouse.execute(rollup.statement("repair_drifted_rows"))
        tenants = warehouse.execute(query("rollups.list_drifted_tenants")).fetchall()
        tenant_keys = [row["tenant_key"] for row in tenants]
        warehouse.execute(query("verify.mark_tenants_changed"), {"tenant_keys": tenant_keys})
    warehouse.execute(query("rollups.drop_drifted_rows"))
    return drifted


def rebuild_rollup(
    connections: Connections,
    options: RefreshOptions,
    rollup: Rollup,
    *,
    progress: Callable[[date, date], None] | None = None,
) -> int:
    """Set every row of a rollup to what its SQL gives over the facts; return the rows written.

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
                written += repair_rows(connections.warehouse, rollup, window)
            if progress is not None:
                progress(window.month, pieces[-1].month)
    return written


def _drifted_row(warehouse: Connection, rollup: Rollup, row: dict[str, Any]) -> DriftedRow:
    grain = {name: row[name] for name in rollup.grain}
    parameters = {"tenant_key": row["tenant_key"], "store_key": row["store_key"]}
    grain |= warehouse.execute(query("verify.natural_keys"), parameters).fetchone() or {}
    return DriftedRow(
        rollup=rollup.name,
        grain=grain,
        expected={name: row[f"expected_{name}"] for name in rollup.measures} if row["is_expected"] else None,
        actual={name: row[f"actual_{name}"] for name in rollup.measures} if row["is_present"] else None,
    )
