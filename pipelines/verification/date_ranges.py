"""Ranges of business dates within one month, and the months that source, facts or rollups have rows of.

History may have gaps of decades, where a moment was typed wrong.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from dbsql import query
from pipelines.refresh.connections import Connections
from pipelines.refresh.rollups import Rollup


@dataclass(frozen=True)
class DateRange:
    """Some days of one month, both ends included."""

    from_date: date
    to_date: date

    @property
    def month(self) -> date:
        """The month's first day."""
        return self.from_date.replace(day=1)

    @property
    def month_end(self) -> date:
        """The month's last day."""
        return self.month.replace(day=monthrange(self.month.year, self.month.month)[1])

    @property
    def is_whole_month(self) -> bool:
        """Whether no day of the month is missing."""
        return self.from_date == self.month and self.to_date == self.month_end

    def parameters(self, *, monthly: bool = False) -> dict[str, date]:
        """Return the range as statement parameters, widened to the month where a monthly rollup is concerned."""
        if monthly:
            return {"from_date": self.month, "to_date": self.month_end}
        return {"from_date": self.from_date, "to_date": self.to_date}


def split_by_month(from_date: date, to_date: date) -> Iterator[DateRange]:
    """Split a range (both ends included) at the ends of months."""
    start = from_date
    while start <= to_date:
        whole = DateRange(start, start)
        end = min(whole.month_end, to_date)
        yield DateRange(start, end)
        start = end + timedelta(days=1)


def month_of(day: date) -> DateRange:
    """Return the whole month of a day."""
    return DateRange(DateRange(day, day).month, DateRange(day, day).month_end)


def months_with_rows(connections: Connections, rollups: tuple[Rollup, ...]) -> set[date]:
    """Return the first day of each month that the facts or one of these rollups have rows of; reads them whole."""
    warehouse = connections.warehouse
    months = {row["month"] for row in warehouse.execute(query("verify.list_fact_months"))}
    for rollup in rollups:
        months |= {row["month"] for row in warehouse.execute(rollup.statement("list_months"))}
    return months


def source_months(connections: Connections) -> set[date]:
    """Return the first day of each month that the snapshot's source may have business dates of."""
    return {row["month"] for row in connections.replica.execute(query("source_state.history_months"))}
