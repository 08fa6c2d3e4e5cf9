"""A period of business dates, the previous period, and the pieces in which rollups by month and by day cover them."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

DAYS_MAX = 1_100
DEFAULT_DAYS = 30
# Reading a month costs as much as some of its days: it pays off where at most a quarter of its days must be subtracted again.
_DAYS_PER_SUBTRACTED_DAY = 3


@dataclass(frozen=True)
class Period:
    """Business dates from `first` to `last`, both inclusive."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """The number of dates."""
        return (self.last - self.first).days + 1

    @property
    def previous(self) -> "Period":
        """The period of the same length that ends the day before."""
        return Period(self.first - timedelta(days=self.days), self.first - timedelta(days=1))

    @property
    def dates(self) -> list[date]:
        """Every date, in order."""
        return [self.first + timedelta(days=number) for number in range(self.days)]

    def as_document(self) -> dict[str, Any]:
        """Return the period as responses state it."""
        return {"from": self.first.isoformat(), "to": self.last.isoformat(), "days": self.days}

    def parameters(self) -> dict[str, date]:
        """Return the parameters of statements over days."""
        return {"from_date": self.first, "to_date": self.last, "previous_from": self.previous.first}

    def piece_parameters(self, newest: date | None) -> dict[str, list[Any]]:
        """Return the parameters of statements over months and days: both periods in pieces, as parallel arrays.

        Args:
            newest: the last date with figures; None: there are none.
        """
        pieces = [
            (piece, is_current)
            for period, is_current in ((self, True), (self.previous, False))
            for piece in split_period(period, newest)
        ]
        parameters: dict[str, list[Any]] = {}
        for name, is_months in (("day", False), ("month", True)):
            selected = [(piece, is_current) for piece, is_current in pieces if piece.is_months is is_months]
            parameters[f"{name}_from"] = [piece.first for piece, _ in selected]
            parameters[f"{name}_to"] = [piece.last for piece, _ in selected]
            parameters[f"{name}_is_current"] = [is_current for _, is_current in selected]
            parameters[f"{name}_sign"] = [piece.sign for piece, _ in selected]
        return parameters


@dataclass(frozen=True)
class Piece:
    """Dates to read from one rollup; `first` and `last` are the first days of months where `is_months`.

    Attributes:
        sign: 1 to add the sums, -1 to subtract them.
    """

    first: date
    last: date
    is_months: bool
    sign: int = 1


def split_period(period: Period, newest: date | None) -> list[Piece]:
    """Split a period into months and days.

    Of a month that lies in it almost entirely, the few other days are subtracted from the month. Days without figures yet need not be:
    so the current month is read as one, like those before it.

    Args:
        period: the dates.
        newest: the last date with figures; None: there are none.
    """
    pieces: list[Piece] = []
    month = period.first.replace(day=1)
    while month <= period.last:
        next_month = (month + timedelta(days=32)).replace(day=1)
        last_day = next_month - timedelta(days=1)
        inside = Period(max(month, period.first), min(last_day, period.last))
        end = last_day if newest is None else min(last_day, newest)
        outside = [Period(month, inside.first - timedelta(days=1)), Period(inside.last + timedelta(days=1), end)]
        outside = [dates for dates in outside if dates.days > 0]
        if _DAYS_PER_SUBTRACTED_DAY * sum(dates.days for dates in outside) <= inside.days:
            _add(pieces, Piece(month, month, is_months=True))
            pieces += [Piece(dates.first, dates.last, is_months=False, sign=-1) for dates in outside]
        else:
            _add(pieces, Piece(inside.first, inside.last, is_months=False))
        month = next_month
    return pieces


def _add(pieces: list[Piece], piece: Piece) -> None:
    """Append a piece, or extend the last one."""
    if pieces and pieces[-1].sign > 0 and pieces[-1].is_months is piece.is_months:
        piece = Piece(pieces.pop().first, piece.last, piece.is_months)
    pieces.append(piece)
