"""The job kind `export_sales_report`: a tenant's report as a file."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from background_jobs.dagster_bridge.run_tags import JOB_ID
from background_jobs.kinds.export_sales_report import ExportSalesReport
from dbconnect import load_settings
from dbconnect.routes import DASHBOARD_READ
from pipelines.failures import RETRIES, as_dagster_failure
from pipelines.resources import JobReporter


class ExportConfig(dg.Config):
    """The tenant, and the parameters of the kind `export_sales_report`."""

    tenant: str
    params: dict[str, Any] = Field(default_factory=dict)


@dg.op(retry_policy=RETRIES)
def export_report(context: dg.OpExecutionContext, config: ExportConfig, jobs: JobReporter) -> None:
    """Write the file as `<job id>.<format>` into the export directory, whole or not at all."""
    # Imported here: pandas takes a second, and most processes that load these definitions never export.
    from background_jobs.exports import write_report  # noqa: PLC0415

    request = ExportSalesReport.model_validate(config.params)
    settings = load_settings()
    name = f"{context.run.tags.get(JOB_ID, context.run.run_id)}.{request.format}"

    with jobs.open(context) as reporter, as_dagster_failure("exporting"):

        def report_progress(percent: float, rows: int) -> None:
            reporter.raise_if_canceled()
            reporter.progress(percent, step=request.report, message=f"{rows:,} rows written", counts={"rows": rows})

        with DASHBOARD_READ.connect(settings) as connection:
            export = write_report(
                connection,
                settings.exports / name,
                tenant_id=config.tenant,
                report=request.report,
                file_format=request.format,
                from_date=request.from_date,
                to_date=request.to_date,
                store_id=request.store,
                progress=report_progress,
            )
        expires_at = datetime.now(UTC) + timedelta(hours=settings.export_keep_hours)
        reporter.result(
            {
                "file": name,
                "bytes": export.size,
                "rows": export.rows,
                "format": request.format,
                "from_date": export.from_date.isoformat(),
                "to_date": export.to_date.isoformat(),
                "as_of": export.as_of.isoformat(),
                "expires_at": expires_at.isoformat(timespec="seconds"),
            }
        )
        context.log.info("%s: %d rows, %d bytes", name, export.rows, export.size)
