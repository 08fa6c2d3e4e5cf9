"""The pieces of a period cover each of its dates once."""

from datetime import date, timedelta

import hypothesis.strategies as st
from hypothesis import given

from dashboard_api.period import DAYS_MAX, FIRST_DATE, LAST_DATE, Period, split
from dashboard_api.reports.trend import suited

periods = st.builds(
    lambda first, days: Period(first, first + timedelta(days)),
    st.dates(FIRST_DATE, LAST_DATE - timedelta(DAYS_MAX)),
    st.integers(0, DAYS_MAX - 1),
)


@given(periods)
def test_pieces_cover_every_date_once(period: Period) -> None:
    covered: list[date] = []
    for piece in split(period):
        if piece.is_months:
            month = piece.first
            while month <= piece.last:
                assert month.day == 1
                after = (month + timedelta(32)).replace(day=1)
                covered += Period(month, after - timedelta(1)).dates
                month = after
        else:
            covered += Period(piece.first, piece.last).dates
    assert sorted(covered) == period.dates


@given(periods)
def test_days_outside_whole_months_are_few(period: Period) -> None:
    """Long ranges read months: that is what makes them quick."""
    pieces = split(period)
    if period.days >= 62:
        assert any(piece.is_months for piece in pieces)
        assert sum(Period(piece.first, piece.last).days for piece in pieces if not piece.is_months) <= 60


@given(periods)
def test_previous_is_as_long_and_adjoins(period: Period) -> None:
    assert period.previous.days == period.days
    assert period.previous.last + timedelta(1) == period.first
    parameters = period.piece_parameters()
    assert len({len(parameters[name]) for name in ("day_from", "day_to", "day_is_current")}) == 1


def test_granularity_keeps_a_chart_readable() -> None:
    first = date(2025, 1, 1)
    found = [suited(Period(first, first + timedelta(days - 1))).value for days in (1, 2, 3, 92, 93, 400, 401, 1_100)]
    assert found == ["hour", "hour", "day", "day", "week", "week", "month", "month"]
