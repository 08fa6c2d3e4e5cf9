"""The kind `rebuild_sales_summary`: recompute figures, a date range from the sales or a rollup from the facts."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from background_jobs.kinds import OPERATOR, DateRangeParameters, job_kind
from background_jobs.store import Deadlines
from dbsql import sql_root

ALL_ROLLUPS = "all"


@job_kind(
    "rebuild_sales_summary",
    job_name="rebuild_job",
    op_name="rebuild_tables",
    roles=(OPERATOR,),
    coalesces=True,
    max_in_flight=1,
    # The run may wait long in Dagster's queue for the warehouse.
    deadlines=Deadlines(start_s=3600, run_s=21_600),
)
class RebuildSalesSummary(DateRangeParameters):
    """Reads a range of sales again and repairs differences, or rebuilds one rollup from the facts."""

    rollup: str | None = Field(None, description='a rollup to rebuild from the facts, or "all", instead of a range')

    @field_validator("rollup")
    @classmethod
    def _check_rollup(cls, value: str | None) -> str | None:
        rollups = sorted(path.stem for path in (sql_root() / "rollups").glob("*.sql"))
        if value is not None and value != ALL_ROLLUPS and value not in rollups:
            message = f"there is no rollup {value!r}: choose {ALL_ROLLUPS} or one of {', '.join(rollups)}"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        has_range = self.from_date is not None or self.to_date is not None
        if has_range == (self.rollup is not None):
            message = "give either from_date and to_date, or rollup"
            raise ValueError(message)
        if has_range and (self.from_date is None or self.to_date is None):
            message = "give both from_date and to_date"
            raise ValueError(message)
        return self
