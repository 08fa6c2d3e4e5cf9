"""Compare the figures with the sales."""

from typing import Any

from background_jobs.kinds.kind import OPERATOR
from background_jobs.kinds.ranges import DateRange
from background_jobs.kinds.registry import job_kind
from background_jobs.store import Deadlines


@job_kind(
    "verify_sales_summary",
    job_name="verify_job",
    op_name="verification",
    roles=(OPERATOR,),
    coalesces=True,
    most_at_a_time=1,
    # It waits in Dagster's queue for its turn at the warehouse.
    deadlines=Deadlines(start_s=3600, run_s=7000),
)
class VerifySalesSummary(DateRange):
    """Compares facts and rollups of a range with SQL over the sales; the recent 30 days unless given."""

    def op_config(self, tenant: str) -> dict[str, Any]:
        """The comparison is of all tenants."""
        del tenant
        return self.model_dump(mode="json", exclude_none=True)
