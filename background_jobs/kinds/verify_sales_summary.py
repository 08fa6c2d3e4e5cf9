"""The kind `verify_sales_summary`: compare the figures with the sales."""

from typing import Any

from background_jobs.kinds import OPERATOR, DateRangeParameters, job_kind
from background_jobs.store import Deadlines


@job_kind(
    "verify_sales_summary",
    job_name="verify_job",
    op_name="verification",
    roles=(OPERATOR,),
    coalesces=True,
    max_in_flight=1,
    # The run may wait long in Dagster's queue for the warehouse.
    deadlines=Deadlines(start_s=3600, run_s=7000),
)
class VerifySalesSummary(DateRangeParameters):
    """Compares facts and rollups of a range with SQL over the sales; the recent 30 days unless given."""

    def op_config(self, tenant: str) -> dict[str, Any]:
        """Return the parameters without a tenant: all tenants are compared."""
        del tenant
        return self.model_dump(mode="json", exclude_none=True)
