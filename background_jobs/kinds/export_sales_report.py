"""The kind `export_sales_report`: write a tenant's figures to a file."""

from typing import Any, Literal

from pydantic import Field

from background_jobs.kinds import OPERATOR, DateRangeParameters, job_kind
from background_jobs.store import Deadlines

ExportReport = Literal["stores", "hours", "products", "customers", "payments"]
ExportFormat = Literal["csv", "xlsx", "parquet"]


@job_kind(
    "export_sales_report",
    job_name="export_job",
    op_name="export_report",
    roles=("owner", "manager", OPERATOR),
    needs_tenant=True,
    max_in_flight=2,
    deadlines=Deadlines(run_s=1800),
)
class ExportSalesReport(DateRangeParameters):
    """Writes a tenant's figures of a range as CSV, XLSX or Parquet."""

    report: ExportReport = Field("stores", description="which figures: one row per business date and …")
    format: ExportFormat = Field("csv", description="file format")
    store: str | None = Field(None, min_length=1, max_length=200, description="only this store, by its id")

    def op_config(self, tenant: str) -> dict[str, Any]:
        """Return the parameters and the tenant."""
        return {"tenant": tenant, **super().op_config(tenant)}
