"""Repair: verify a range of business dates, and recompute what differs from the source."""

from datetime import UTC, datetime

import dagster as dg

from dbconnect import load_settings
from pipelines.assets.checks import VerificationRange, format_drift
from pipelines.assets.names import WAREHOUSE_POOL, table_key
from pipelines.assets.tables import FACTS
from pipelines.failures import RETRIES, as_dagster_failure
from pipelines.progress import follow_months
from pipelines.refresh import RefreshOptions
from pipelines.resources import JobReporter, Primary, Replica, Warehouse, open_routes
from pipelines.verification import verify


@dg.op(pool=WAREHOUSE_POOL, retry_policy=RETRIES)
def repair_tables(
    context: dg.OpExecutionContext,
    config: VerificationRange,
    replica: Replica,
    warehouse: Warehouse,
    primary: Primary,
    jobs: JobReporter,
) -> None:
    """Repair facts and rollups of the range, and report what had drifted."""
    first, last = config.dates(datetime.now(UTC).date())
    with (
        jobs.open(context) as reporter,
        as_dagster_failure("repairing"),
        open_routes(replica, warehouse, primary) as connections,
    ):
        report = verify(
            connections,
            RefreshOptions.from_settings(load_settings()),
            from_date=first,
            to_date=last,
            repair=True,
            progress=follow_months(reporter, context.log),
        )
    outcome = "no differences" if report.is_exact else "drift was repaired"
    context.log.info(
        "%d documents of %s to %s compared in %.2f s: %s", report.documents, first, last, report.seconds, outcome
    )
    context.log_event(
        dg.AssetObservation(
            table_key(FACTS[0]),
            description=f"repair of {first} to {last}: {outcome}",
            metadata={
                "repaired_documents": report.drifted_document_count,
                "repaired_rows": report.drifted_row_count,
                "drift": dg.MetadataValue.md(format_drift(report)),
            },
        )
    )
