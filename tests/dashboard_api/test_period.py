"""The pieces of a period cover each of its dates once."""

from collections import Counter
from datetime import date, timedelta

import hypothesis.strategies as st
from hypothesis import given

from dashboard_api.period import DAYS_MAX, Period, Piece, split_period
from dashboard_api.reports.trend import default_granularity
from dbsql import FIRST_DATE, LAST_DATE

periods = st.builds(
    lambda first, days: Period(first, first + timedelta(days)),
    st.dates(FIRST_DATE, LAST_DATE - timedelta(DAYS_MAX)),
    st.integers(0, DAYS_MAX - 1),
)


# No figures lie after this date, which may be before, in or after a period.
newest_dates = st.one_of(st.none(), st.integers(-40, DAYS_MAX + 40))


def newest_of(period: Period, number: int | None) -> date | None:
    return None if number is None else period.first + timedelta(number)


def dates_of(piece: Piece) -> list[date]:
    if not piece.is_months:
        return Period(piece.first, piece.last).dates
    covered: list[date] = []
    month = piece.first
    while month <= piece.last:
        assert month.day == 1
        next_month = (month + timedelta(32)).replace(day=1)
        covered += Period(month, next_month - timedelta(1)).dates
        month = next_month
    return covered


@given(periods, newest_dates)
def test_pieces_add_up_to_every_date_once(period: Period, number: int | None) -> None:
    newest = newest_of(period, number)
    counts: Counter[date] = Counter()
    for piece in split_period(period, newest):
        for day in dates_of(piece):
            counts[day] += piece.sign
    figured = {day: count for day, count in counts.items() if count and (newest is None or day <= newest)}
    assert figured == {day: 1 for day in period.dates if newest is None or day <= newest}


@given(periods, newest_dates)
def test_few_days_are_read_beside_the_months(period: Period, number: int | None) -> None:
    """Long ranges read months: that is what makes them quick."""
    pieces = split_period(period, newest_of(period, number))
    days = [piece for piece in pieces if not piece.is_months]
    assert sum(Period(piece.first, piece.last).days for piece in days) <= 46
    assert not any(piece.is_months and piece.sign < 0 for piece in pieces)
    if period.days >= 62:
        assert any(piece.is_months for piece in pieces)


def test_a_month_that_goes_on_is_read_as_one() -> None:
    period = Period(date(2025, 6, 17), date(2025, 7, 16))
    assert split_period(period, date(2025, 7, 16)) == [
        Piece(date(2025, 6, 17), date(2025, 6, 30), is_months=False),
        Piece(date(2025, 7, 1), date(2025, 7, 1), is_months=True),
    ]


def test_a_month_without_some_days_is_cheaper_than_its_days() -> None:
    period = Period(date(2025, 5, 4), date(2025, 5, 29))
    assert split_period(period, None) == [
        Piece(date(2025, 5, 1), date(2025, 5, 1), is_months=True),
        Piece(date(2025, 5, 1), date(2025, 5, 3), is_months=False, sign=-1),
        Piece(date(2025, 5, 30), date(2025, 5, 31), is_months=False, sign=-1),
    ]


@given(periods)
def test_previous_is_as_long_and_adjoins(period: Period) -> None:
    assert period.previous.days == period.days
    assert period.previous.last + timedelta(1) == period.first
    parameters = period.piece_parameters(None)
    for kind in ("day", "month"):
        assert len({len(parameters[f"{kind}_{name}"]) for name in ("from", "to", "is_current", "sign")}) == 1


def test_granularity_keeps_a_chart_readable() -> None:
    first = date(2025, 1, 1)
    granularities = [
        default_granularity(Period(first, first + timedelta(days - 1))).value
        for days in (1, 2, 3, 92, 93, 400, 401, 1_100)
    ]
    assert granularities == ["hour", "hour", "day", "day", "week", "week", "month", "month"]
