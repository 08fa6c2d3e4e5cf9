"""The query parameters of the reports, validated before anything is read."""

from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dashboard_api.errors import InvalidParameterError
from dashboard_api.period import DAYS_MAX
from dbsql import FIRST_DATE, LAST_DATE

STORES_MAX = 50
# No control characters: PostgreSQL's text type rejects NUL, and no id has the others.
StoreId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Format(StrEnum):
    """The media type of a response."""

    JSON = "json"
    CSV = "csv"


class Granularity(StrEnum):
    """The length of one point of a trend."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class ProductSort(StrEnum):
    """The measures that products may be ranked by."""

    NET = "net"
    GROSS = "gross"
    MARGIN = "margin"
    UNITS = "units"
    REFUNDS = "refunds"


class CustomerSort(StrEnum):
    """The measures that customers may be ranked by."""

    NET = "net"
    SALES = "sales"
    UNITS = "units"
    REFUNDS = "refunds"


class Filter(BaseModel):
    """Period and stores. The default period is the 30 days up to the last one with figures."""

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
        description="Last business date, inclusive.",
        examples=["2011-11-30"],
    )
    store: tuple[StoreId, ...] = Field(
        (), max_length=STORES_MAX, description="Only these stores, by the application's own id; may be repeated."
    )
    format: Format | None = Field(None, description="`csv` for spreadsheets, like `Accept: text/csv`.")

    @cached_property
    def cache_key(self) -> str:
        """Equal for equal filters, whatever the format of the response."""
        return self.model_dump_json(exclude={"format"})

    @model_validator(mode="after")
    def _dates_are_in_order(self) -> Self:
        if self.from_date and self.to_date:
            if self.from_date > self.to_date:
                raise InvalidParameterError("from", f"after `to` ({self.from_date} > {self.to_date})")
            if (self.to_date - self.from_date).days >= DAYS_MAX:
                raise InvalidParameterError("from", f"a period has at most {DAYS_MAX:,} days")
        return self


class TrendFilter(Filter):
    """Period, stores, and the length of a point."""

    granularity: Granularity = Field(
        Granularity.DAY, description="`hour` for periods up to 31 days; a week begins on Monday."
    )


class PageFilter(Filter):
    """Period, stores, and the page of the list."""

    limit: int = Field(10, ge=1, le=200, description="Rows per page.")
    offset: int = Field(0, ge=0, le=100_000, description="Rows to skip; `next_offset` is the next page's.")


class ProductFilter(PageFilter):
    """A page of products."""

    sort: ProductSort = Field(ProductSort.NET, description="Ranked by this measure, in descending order.")


class CustomerFilter(PageFilter):
    """A page of customers."""

    sort: CustomerSort = Field(CustomerSort.NET, description="Ranked by this measure, in descending order.")
