"""Backfill by month: queue a month's sales, and apply them in bounded batches beside live refreshes."""

from datetime import timedelta

import dagster as dg

from dbconnect import load_settings
from dbsql import query
from pipelines.assets.names import OWNERS, WAREHOUSE_POOL, source_key, table_key
from pipelines.failures import RETRIES, as_dagster_failure
from pipelines.partitions import MONTHS
from pipelines.progress import ProgressLog, follow_refresh
from pipelines.refresh import Connection, RefreshOptions, enqueue_range, refresh
from pipelines.resources import JobReporter, Primary, Replica, Warehouse, open_routes


@dg.asset(
    key=table_key("backfilled_month"),
    partitions_def=MONTHS,
    deps=[source_key(view) for view in ("sale", "sale_return")],
    group_name="maintenance",
    owners=OWNERS,
    kinds={"postgres"},
    pool=WAREHOUSE_POOL,
    retry_policy=RETRIES,
)
def backfilled_month(
    context: dg.AssetExecutionContext, replica: Replica, warehouse: Warehouse, primary: Primary, jobs: JobReporter
) -> dg.MaterializeResult[None]:
    """One partition per month of business dates whose sales and returns were all read again and applied.

    Not a table of its own: it writes the facts and rollups. May be stopped, resumed and repeated: the queue is in the
    warehouse, so a run that was stopped leaves it there, any refresh goes on with it, and another run of the month resumes it.
    """
    window = context.partition_time_window
    from_date, to_date = window.start.date(), window.end.date() - timedelta(days=1)
    reason = f"backfill {from_date:%Y-%m}"
    with (
        jobs.open(context) as reporter,
        as_dagster_failure(reason),
        open_routes(replica, warehouse, primary) as connections,
    ):
        options = RefreshOptions.from_settings(load_settings())
        queued = _count_queued(connections.warehouse, reason)
        is_resumed = queued > 0
        if not is_resumed:
            queued = enqueue_range(connections, options.mapping, from_date=from_date, to_date=to_date, reason=reason)
        context.log.info(
            "%s: %d documents %s", reason, queued, "were left by an earlier run" if is_resumed else "queued"
        )
        result = refresh(
            connections, options, progress=follow_refresh(reporter, ProgressLog(context.log, total=queued))
        )
    return dg.MaterializeResult(
        metadata={
            "from_date": from_date.isoformat(),
            "to_date": to_date.isoformat(),
            "queued_documents": queued,
            "is_resumed": is_resumed,
            "changed_documents": result.applied.documents,
            "lines": result.applied.lines,
            "rows_written": sum(result.applied.rows_written.values()),
            "transactions": result.transactions,
            "horizon": result.horizon,
            "seconds": round(sum(result.seconds.values()), 3),
        }
    )


def _count_queued(warehouse: Connection, reason: str) -> int:
    row = warehouse.execute(query("assets.count_pending_reason"), {"reason": reason}).fetchone()
    return row["documents"] if row is not None else 0
