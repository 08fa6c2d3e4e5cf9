"""What a caller may ask for: the query parameters, checked before anything is read."""

from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dashboard_api.errors import ParameterError
from dashboard_api.period import DAYS_MAX, FIRST_DATE, LAST_DATE

STORES_MAX = 50


# No control characters: PostgreSQL's text takes no NUL, and no id has the others.
StoreId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Format(StrEnum):
    """How the answer is written."""

    JSON = "json"
    CSV = "csv"


class Granularity(StrEnum):
    """How long one point of a trend lasts."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class ProductSort(StrEnum):
    """What products are ranked by."""

    NET = "net"
    GROSS = "gross"
    MARGIN = "margin"
    UNITS = "units"
    REFUNDS = "refunds"


class CustomerSort(StrEnum):
    """What customers are ranked by."""

    NET = "net"
    SALES = "sales"
    UNITS = "units"
    REFUNDS = "refunds"


class Filter(BaseModel):
    """Period and stores. Without dates: the 30 days up to the last one with figures."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    from_date: date | None = Field(
        None,
        alias="from",
        ge=FIRST_DATE,
        le=LAST_DATE,
        description=f"First business date, local to each store. At most {DAYS_MAX:,} days before `to`.",
        examples=["2011-11-01"],
    )
    to_date: date | None = Field(
        None,
        alias="to",
        ge=FIRST_DATE,
        le=LAST_DATE,
        description="Last business date, included.",
        examples=["2011-11-30"],
    )
    store: tuple[StoreId, ...] = Field(
        (), max_length=STORES_MAX, description="Only these stores, by the application's own id; repeat for several."
    )
    format: Format | None = Field(None, description="`csv` for a spreadsheet; the same as `Accept: text/csv`.")

    @cached_property
    def question(self) -> str:
        """What is asked, whatever the form of the answer; the same text for the same question."""
        return self.model_dump_json(exclude={"format"})

    @model_validator(mode="after")
    def _dates_are_in_order(self) -> Self:
        if self.from_date and self.to_date:
            if self.from_date > self.to_date:
                raise ParameterError("from", f"is after `to` ({self.from_date} > {self.to_date})")
            if (self.to_date - self.from_date).days >= DAYS_MAX:
                raise ParameterError("from", f"a period is {DAYS_MAX:,} days at most")
        return self


class TrendFilter(Filter):
    """A filter and the length of a point."""

    granularity: Granularity = Field(
        Granularity.DAY, description="`hour` for periods up to 31 days; a week begins on Monday."
    )


class PageFilter(Filter):
    """A filter and which part of the list."""

    limit: int = Field(10, ge=1, le=200, description="Rows in the answer.")
    offset: int = Field(0, ge=0, le=100_000, description="Rows to leave out first; `next_offset` says where to go on.")


class ProductFilter(PageFilter):
    """A page of products."""

    sort: ProductSort = Field(ProductSort.NET, description="What to rank by, the greatest first.")


class CustomerFilter(PageFilter):
    """A page of customers."""

    sort: CustomerSort = Field(CustomerSort.NET, description="What to rank by, the greatest first.")
