"""A tenant's figures as a file."""

from typing import Any, Literal

from pydantic import Field

from background_jobs.kinds.kind import OPERATOR
from background_jobs.kinds.ranges import DateRange
from background_jobs.kinds.registry import job_kind
from background_jobs.store import Deadlines

Report = Literal["stores", "hours", "products", "customers", "payments"]
Format = Literal["csv", "xlsx", "parquet"]


@job_kind(
    "export_sales_report",
    job_name="export_job",
    op_name="export_report",
    roles=("owner", "manager", OPERATOR),
    needs_tenant=True,
    most_at_a_time=2,
    deadlines=Deadlines(run_s=1800),
)
class ExportSalesReport(DateRange):
    """Writes a tenant's figures of a range as CSV, XLSX or Parquet."""

    report: Report = Field("stores", description="which figures: one row per business date and …")
    format: Format = Field("csv", description="of the file")
    store: str | None = Field(None, min_length=1, max_length=200, description="only this store, by its id")

    def op_config(self, tenant: str) -> dict[str, Any]:
        """Says whose figures, beside which."""
        return {"tenant": tenant, **super().op_config(tenant)}
