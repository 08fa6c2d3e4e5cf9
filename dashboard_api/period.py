"""A period of business dates, the one before it, and the pieces in which rollups by month and by day cover it."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

DAYS_MAX = 1_100
DEFAULT_DAYS = 30
# Business dates that a period may lie in: Python's and PostgreSQL's calendars agree there, with room on both sides.
FIRST_DATE = date(1900, 1, 1)
LAST_DATE = date(2199, 12, 31)
# Reading a month costs as much as some of its days, so it pays where few of its days must be taken away again: one of three read.
_TAKEN_AWAY_MAX = 3


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

    def piece_parameters(self, newest: date | None) -> dict[str, list[Any]]:
        """What the statements over months and days take: both periods, in pieces, as parallel arrays.

        Args:
            newest: no figures lie after this date; None: there are none at all.
        """
        pieces = [
            (piece, is_current)
            for period, is_current in ((self, True), (self.previous, False))
            for piece in split(period, newest)
        ]
        parameters: dict[str, list[Any]] = {}
        for name, wanted in (("day", False), ("month", True)):
            chosen = [(piece, is_current) for piece, is_current in pieces if piece.is_months is wanted]
            parameters[f"{name}_from"] = [piece.first for piece, _ in chosen]
            parameters[f"{name}_to"] = [piece.last for piece, _ in chosen]
            parameters[f"{name}_is_current"] = [is_current for _, is_current in chosen]
            parameters[f"{name}_sign"] = [piece.sign for piece, _ in chosen]
        return parameters


@dataclass(frozen=True)
class Piece:
    """Dates to read from one kind of rollup; `first` and `last` are the months' first days where `is_months`.

    Attributes:
        sign: 1 to add what is read, -1 to take it away.
    """

    first: date
    last: date
    is_months: bool
    sign: int = 1


def split(period: Period, newest: date | None) -> list[Piece]:
    """Cut a period into months and days.

    Of a month that lies in it almost wholly, the few days that don't are taken away from the month. Days without figures yet
    need not be: so the month that goes on now is read as one, like those before it.

    Args:
        period: which dates.
        newest: no figures lie after this date; None: there are none at all.
    """
    pieces: list[Piece] = []
    month = period.first.replace(day=1)
    while month <= period.last:
        after = _next_month(month)
        inside = Period(max(month, period.first), min(after - timedelta(days=1), period.last))
        end = after - timedelta(days=1) if newest is None else min(after - timedelta(days=1), newest)
        outside = [Period(month, inside.first - timedelta(days=1)), Period(inside.last + timedelta(days=1), end)]
        outside = [dates for dates in outside if dates.days > 0]
        if _TAKEN_AWAY_MAX * sum(dates.days for dates in outside) <= inside.days:
            _add(pieces, Piece(month, month, is_months=True))
            pieces += [Piece(dates.first, dates.last, is_months=False, sign=-1) for dates in outside]
        else:
            _add(pieces, Piece(inside.first, inside.last, is_months=False))
        month = after
    return pieces


def _add(pieces: list[Piece], piece: Piece) -> None:
    """Add a piece, to the last one where it goes on from there."""
    if pieces and pieces[-1].sign > 0 and pieces[-1].is_months is piece.is_months:
        piece = Piece(pieces.pop().first, piece.last, piece.is_months)
    pieces.append(piece)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
