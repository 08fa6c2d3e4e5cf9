"""The job kind `rebuild_sales_summary`: a range of sales from the source, or rollups from the facts."""

from datetime import date
from typing import Any

import dagster as dg

from background_jobs.kinds.rebuild_sales_summary import ALL_ROLLUPS, RebuildSalesSummary
from dbconnect import load_settings
from pipelines.assets.names import WAREHOUSE_POOL
from pipelines.failures import RETRIES, as_dagster_failure
from pipelines.progress import ProgressLog, follow_months, follow_refresh
from pipelines.refresh import Connections, RefreshOptions, all_rollups, enqueue_range, refresh, rollup_named
from pipelines.resources import JobReporter, Primary, Replica, RunReporter, Warehouse, open_routes
from pipelines.verification import rebuild_rollup, verify


class RebuildConfig(dg.Config):
    """The parameters of the kind `rebuild_sales_summary`."""

    params: dict[str, Any]


@dg.op(pool=WAREHOUSE_POOL, retry_policy=RETRIES)
def rebuild_tables(
    context: dg.OpExecutionContext,
    config: RebuildConfig,
    replica: Replica,
    warehouse: Warehouse,
    primary: Primary,
    jobs: JobReporter,
) -> None:
    """Apply every sale of a range again and repair what still differs, or rebuild rollups from the facts."""
    request = RebuildSalesSummary.model_validate(config.params)
    options = RefreshOptions.from_settings(load_settings())
    with jobs.open(context) as reporter, as_dagster_failure("rebuilding"):
        with open_routes(replica, warehouse, primary) as connections:
            if request.rollup is not None:
                summary = _rebuild_rollups(connections, options, request.rollup, reporter)
            elif request.from_date is not None and request.to_date is not None:
                summary = _rebuild_range(context, connections, options, request.from_date, request.to_date, reporter)
            else:
                raise dg.Failure("give either from_date and to_date, or rollup", allow_retries=False)
        context.log.info("rebuilt: %s", summary)
        reporter.result(summary)


def _rebuild_range(
    context: dg.OpExecutionContext,
    connections: Connections,
    options: RefreshOptions,
    from_date: date,
    to_date: date,
    reporter: RunReporter,
) -> dict[str, Any]:
    """Queue the range, apply it in bounded transactions, then compare and repair what still differs."""
    reporter.progress(0, step="queueing", message=f"{from_date} to {to_date}")
    queued = enqueue_range(connections, options.mapping, from_date=from_date, to_date=to_date, reason="rebuild")
    result = refresh(
        connections,
        options,
        progress=follow_refresh(reporter, ProgressLog(context.log, total=queued), up_to=80),
    )
    report = verify(
        connections,
        options,
        from_date=from_date,
        to_date=to_date,
        repair=True,
        progress=follow_months(reporter, context.log, after=80),
    )
    return {
        "from_date": from_date.isoformat(),
        "to_date": to_date.isoformat(),
        "documents": result.applied.documents,
        "repaired_documents": report.drifted_document_count,
        "repaired_rows": report.drifted_row_count,
    }


def _rebuild_rollups(
    connections: Connections, options: RefreshOptions, name: str, reporter: RunReporter
) -> dict[str, Any]:
    rollups = all_rollups() if name == ALL_ROLLUPS else (rollup_named(name),)
    rows: dict[str, int] = {}
    for number, rollup in enumerate(rollups):
        months = 0

        def report_progress(month: date, last: date, number: int = number, name: str = rollup.name) -> None:
            nonlocal months
            months += 1
            left = (last.year - month.year) * 12 + last.month - month.month
            reporter.raise_if_canceled()
            percent = 100 * (number + months / (months + left)) / len(rollups)
            reporter.progress(percent, step=name, message=f"{name}: {month:%Y-%m}", counts=dict(rows))

        rows[rollup.name] = rebuild_rollup(connections, options, rollup, progress=report_progress)
    return {"rows_written": rows}
