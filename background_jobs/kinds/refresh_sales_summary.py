"""The main job, on demand."""

from typing import Any

from pydantic import Field

from background_jobs.kinds.kind import OPERATOR, Parameters
from background_jobs.kinds.registry import job_kind
from background_jobs.store import Deadlines


@job_kind(
    "refresh_sales_summary",
    job_name="refresh_job",
    op_name="refresh",
    roles=("owner", "manager", "viewer", OPERATOR),
    coalesces=True,
    # One writer of the facts at a time. What is asked for meanwhile waits here, where it still can be joined.
    most_at_a_time=1,
    # The setting lets a run drain for 50 minutes.
    deadlines=Deadlines(start_s=300, run_s=3500),
)
class RefreshSalesSummary(Parameters):
    """Applies every change of the sales that is pending to facts and rollups."""

    drain_seconds: float | None = Field(
        0,
        ge=0,
        le=60,
        description="go on looking for new changes this long before it ends, in seconds; null: SALESPULSE_DRAIN_SECONDS",
    )

    def op_config(self, tenant: str) -> dict[str, Any]:
        """The refresh is for all tenants."""
        del tenant
        return {"drain_seconds": self.drain_seconds}
