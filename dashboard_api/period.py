"""A period of business dates, the one before it, and the pieces in which rollups by month and by day cover it."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

DAYS_MAX = 1_100
DEFAULT_DAYS = 30
# Business dates that a period may lie in: Python's and PostgreSQL's calendars agree there, with room on both sides.
FIRST_DATE = date(1900, 1, 1)
LAST_DATE = date(2199, 12, 31)


@dataclass(frozen=True)
class Period:
    """Business dates from `first` to `last`, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """How many dates."""
        return (self.last - self.first).days + 1

    @property
    def previous(self) -> "Period":
        """As many dates, ending the day before."""
        return Period(self.first - timedelta(days=self.days), self.first - timedelta(days=1))

    @property
    def dates(self) -> list[date]:
        """Every date, in order."""
        return [self.first + timedelta(days=number) for number in range(self.days)]

    def as_document(self) -> dict[str, Any]:
        """What an answer says of it."""
        return {"from": self.first.isoformat(), "to": self.last.isoformat(), "days": self.days}

    def parameters(self) -> dict[str, date]:
        """What the statements over days take."""
        return {"from_date": self.first, "to_date": self.last, "previous_from": self.previous.first}

    def piece_parameters(self) -> dict[str, list[Any]]:
        """What the statements over months and days take: both periods, in pieces, as parallel arrays."""
        pieces = [
            (piece, is_current)
            for period, is_current in ((self, True), (self.previous, False))
            for piece in split(period)
        ]
        parameters: dict[str, list[Any]] = {}
        for name, wanted in (("day", False), ("month", True)):
            chosen = [(piece, is_current) for piece, is_current in pieces if piece.is_months is wanted]
            parameters[f"{name}_from"] = [piece.first for piece, _ in chosen]
            parameters[f"{name}_to"] = [piece.last for piece, _ in chosen]
            parameters[f"{name}_is_current"] = [is_current for _, is_current in chosen]
        return parameters


@dataclass(frozen=True)
class Piece:
    """Dates to read from one kind of rollup; `first` and `last` are the months' first days where `is_months`."""

    first: date
    last: date
    is_months: bool


def split(period: Period) -> list[Piece]:
    """Cut a period into its whole months and the days before and after them."""
    first_month = period.first if period.first.day == 1 else _next_month(period.first)
    after_months = _next_month(period.last) if _is_month_end(period.last) else period.last.replace(day=1)
    if first_month >= after_months:
        return [Piece(period.first, period.last, is_months=False)]
    pieces = [Piece(first_month, (after_months - timedelta(days=1)).replace(day=1), is_months=True)]
    if period.first < first_month:
        pieces.append(Piece(period.first, first_month - timedelta(days=1), is_months=False))
    if after_months <= period.last:
        pieces.append(Piece(after_months, period.last, is_months=False))
    return pieces


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _is_month_end(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1
