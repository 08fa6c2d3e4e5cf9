"""The kind `refresh_sales_summary`: the main job, on demand."""

from typing import Any

from pydantic import Field

from background_jobs.kinds import OPERATOR, Parameters, job_kind
from background_jobs.store import Deadlines


@job_kind(
    "refresh_sales_summary",
    job_name="refresh_job",
    op_name="refresh",
    roles=("owner", "manager", "viewer", OPERATOR),
    coalesces=True,
    # The facts have one writer at a time. Further submissions wait here, where they can still be joined.
    max_in_flight=1,
    # SALESPULSE_DRAIN_SECONDS allows a run of up to 50 minutes.
    deadlines=Deadlines(start_s=300, run_s=3500),
)
class RefreshSalesSummary(Parameters):
    """Applies every change of the sales that is pending to facts and rollups."""

    drain_seconds: float | None = Field(
        0,
        ge=0,
        le=60,
        description="seconds to keep polling for new changes before it ends; null: SALESPULSE_DRAIN_SECONDS",
    )

    def op_config(self, tenant: str) -> dict[str, Any]:
        """Return the parameters without a tenant: the refresh is for all tenants."""
        del tenant
        return {"drain_seconds": self.drain_seconds}
