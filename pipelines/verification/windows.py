"""Ranges of business dates in pieces of at most a month, and the months they touch."""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class Window:
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
        """Give the range as statement parameters, widened to the month where a monthly rollup is concerned."""
        if monthly:
            return {"from_date": self.month, "to_date": self.month_end}
        return {"from_date": self.from_date, "to_date": self.to_date}


def windows(from_date: date, to_date: date) -> Iterator[Window]:
    """Cut a range (both ends included) at the ends of months."""
    start = from_date
    while start <= to_date:
        whole = Window(start, start)
        end = min(whole.month_end, to_date)
        yield Window(start, end)
        start = end + timedelta(days=1)


def month_of(day: date) -> Window:
    """Give the whole month of a day."""
    return Window(Window(day, day).month, Window(day, day).month_end)
