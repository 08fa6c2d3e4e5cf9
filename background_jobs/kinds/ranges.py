"""Ranges of business dates, as several kinds take them."""

from datetime import date
from typing import Self

from pydantic import Field, model_validator

from background_jobs.kinds.kind import Parameters

FIRST_DATE = date(1900, 1, 1)
LAST_DATE = date(2199, 12, 31)


class DateRange(Parameters):
    """Business dates, both inclusive; without one the range is open at that end."""

    from_date: date | None = Field(None, ge=FIRST_DATE, le=LAST_DATE, description="first business date (2026-03-01)")
    to_date: date | None = Field(None, ge=FIRST_DATE, le=LAST_DATE, description="last business date, inclusive")

    @model_validator(mode="after")
    def _ends_after_its_beginning(self) -> Self:
        if self.from_date is not None and self.to_date is not None and self.to_date < self.from_date:
            message = f"to_date {self.to_date} is before from_date {self.from_date}"
            raise ValueError(message)
        return self
