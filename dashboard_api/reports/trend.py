"""Net sales over time, each point beside the one of the previous period."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from dashboard_api.errors import ParameterError
from dashboard_api.filters import Granularity, TrendFilter
from dashboard_api.money import ZERO
from dashboard_api.period import Period
from dashboard_api.reports.reader import Later, Reader, Row
from dashboard_api.reports.report import Report

HOURLY_DAYS_MAX = 31
_MEASURES = ("sale_count", "return_count", "units", "gross_amount", "refund_amount", "net_amount", "margin_amount")
_START_OF: dict[Granularity, Callable[[date], date]] = {
    Granularity.DAY: lambda day: day,
    Granularity.WEEK: lambda day: day - timedelta(days=day.weekday()),
    Granularity.MONTH: lambda day: day.replace(day=1),
}

Point = dict[str, int | Decimal]


async def ask_points(reader: Reader, granularity: Granularity) -> Later[list[dict[str, Any]]]:
    """Ask for every point of the period, those without sales too, with the previous period's net and sales beside it.

    A date of the previous period is counted at the date as many days later as the period is long, so that both have the same
    points.

    Raises:
        ParameterError: hours over more than 31 days.
    """
    period = reader.period
    if granularity is Granularity.HOUR:
        if period.days > HOURLY_DAYS_MAX:
            raise ParameterError("granularity", f"`hour` is for {HOURLY_DAYS_MAX} days at most, not {period.days}")
        hours = await reader.ask("hours")

        async def hourly() -> list[dict[str, Any]]:
            starts = [datetime.combine(day, time(hour)).isoformat() for day in period.dates for hour in range(24)]
            return _points(period, starts, await hours(), _hour_of)

        return hourly
    start_of = _START_OF[granularity]
    days = await reader.ask("days", from_date=period.previous.first)

    async def points() -> list[dict[str, Any]]:
        starts = list(dict.fromkeys(_start(period, day, start_of) for day in period.dates))
        return _points(period, starts, await days(), lambda _, day: _start(period, day, start_of))

    return points


def suited(period: Period) -> Granularity:
    """The granularity that makes a readable chart of a period."""
    if period.days <= 2:
        return Granularity.HOUR
    if period.days <= 92:
        return Granularity.DAY
    return Granularity.WEEK if period.days <= 400 else Granularity.MONTH


def _start(period: Period, day: date, start_of: Callable[[date], date]) -> str:
    # The first point begins with the period, also where its week or month began before.
    return max(period.first, start_of(day)).isoformat()


def _hour_of(row: Row, day: date) -> str:
    return datetime.combine(day, time(row["business_hour"])).isoformat()


def _points(
    period: Period, starts: list[str], rows: list[Row], start_of: Callable[[Row, date], str]
) -> list[dict[str, Any]]:
    current: dict[str, Point] = {start: dict.fromkeys(_MEASURES, ZERO) for start in starts}
    previous: dict[str, Point] = {start: {"net_amount": ZERO, "sale_count": 0} for start in starts}
    for row in rows:
        day: date = row["business_date"]
        if day >= period.first:
            _add(current[start_of(row, day)], row)
        else:
            _add(previous[start_of(row, day + timedelta(days=period.days))], row)
    return [
        {
            "start": start,
            **{name: int(value) if name.endswith("_count") else value for name, value in current[start].items()},
            "previous_net_amount": previous[start]["net_amount"],
            "previous_sale_count": int(previous[start]["sale_count"]),
        }
        for start in starts
    ]


def _add(point: Point, row: Row) -> None:
    for name in point:
        point[name] += row[name]


async def _build(reader: Reader, asked: TrendFilter) -> dict[str, Any]:
    points = await ask_points(reader, asked.granularity)
    return {**reader.scope(), "granularity": asked.granularity.value, "points": await points()}


TREND = Report("trend", "points", ("start", *_MEASURES, "previous_net_amount", "previous_sale_count"), _build)
