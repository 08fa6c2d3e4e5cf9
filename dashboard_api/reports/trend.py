"""Net sales over time, each point beside the one of the previous period."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from dashboard_api.errors import ParameterError
from dashboard_api.filters import Granularity, TrendFilter
from dashboard_api.money import ZERO, plain
from dashboard_api.period import Period
from dashboard_api.reports.figures import SUMS, Figures, Part, Row
from dashboard_api.reports.report import Report

HOURLY_DAYS_MAX = 31
_MEASURES = ("sale_count", "return_count", "units", "gross_amount", "refund_amount", "net_amount", "margin_amount")
_POINT = (*_MEASURES, "previous_net_amount", "previous_sale_count")
_NOTHING: Row = {name: 0 if name.endswith("_count") else plain(ZERO) for name in _MEASURES}
_HOURS = Part("hours")
_START_OF: dict[Granularity, Callable[[date], date]] = {
    Granularity.WEEK: lambda day: day - timedelta(days=day.weekday()),
    Granularity.MONTH: lambda day: day.replace(day=1),
}

Point = dict[str, int | Decimal]


def points_part(period: Period, granularity: Granularity) -> Part:
    """Say what `points` is made of.

    Raises:
        ParameterError: hours over more than 31 days.
    """
    if granularity is not Granularity.HOUR:
        return SUMS
    if period.days > HOURLY_DAYS_MAX:
        raise ParameterError("granularity", f"`hour` is for {HOURLY_DAYS_MAX} days at most, not {period.days}")
    return _HOURS


def points(period: Period, granularity: Granularity, rows: list[Row]) -> list[dict[str, Any]]:
    """Give every point of the period, those without sales too, with the previous period's net and sales beside it; made of `point_rows`.

    A date of the previous period is counted at the date as many days later as the period is long, so that both have the same
    points.
    """
    if granularity is Granularity.HOUR:
        hours = [f"T{hour:02}:00:00" for hour in range(24)]
        starts = {
            f"{day}{hour}": (f"{day}{hour}", f"{before}{hour}") for day, before in _dates(period) for hour in hours
        }
        return _apart(starts, {f"{row['date']}{hours[row['hour']]}": row for row in rows})
    days = {row["date"]: row for row in rows}
    if granularity is Granularity.DAY:
        return _apart({day: (day, before) for day, before in _dates(period)}, days)
    return _joined(period, days, _START_OF[granularity])


def point_rows(figures: Figures, granularity: Granularity) -> list[Row]:
    """Give what `points` is made of, of figures with `points_part`."""
    if granularity is Granularity.HOUR:
        return figures.rows(_HOURS)
    return figures.members(SUMS)["days"] or []


def suited(period: Period) -> Granularity:
    """The granularity that makes a readable chart of a period."""
    if period.days <= 2:
        return Granularity.HOUR
    if period.days <= 92:
        return Granularity.DAY
    return Granularity.WEEK if period.days <= 400 else Granularity.MONTH


def _dates(period: Period) -> list[tuple[str, str]]:
    """Every date, and the one that it is compared to."""
    return list(zip(map(str, period.dates), map(str, period.previous.dates), strict=True))


def _apart(starts: dict[str, tuple[str, str]], rows: dict[str, Row]) -> list[dict[str, Any]]:
    """A point for each row."""
    points = []
    for start, (own, other) in starts.items():
        current, previous = rows.get(own, _NOTHING), rows.get(other, _NOTHING)
        point = {"start": start, **{name: current[name] for name in _MEASURES}}
        point["previous_net_amount"] = previous["net_amount"]
        point["previous_sale_count"] = previous["sale_count"]
        points.append(point)
    return points


def _joined(period: Period, rows: dict[str, Row], start_of: Callable[[date], date]) -> list[dict[str, Any]]:
    """A point for the days of a week or month; the first begins with the period, also where its week or month began before."""
    found: dict[date, Point] = {}
    for day, before in zip(period.dates, period.previous.dates, strict=True):
        point = found.setdefault(max(period.first, start_of(day)), dict.fromkeys(_POINT, ZERO))
        current, previous = rows.get(str(day)), rows.get(str(before))
        if current is not None:
            for name in _MEASURES:
                point[name] += Decimal(current[name])
        if previous is not None:
            point["previous_net_amount"] += Decimal(previous["net_amount"])
            point["previous_sale_count"] += previous["sale_count"]
    return [
        {"start": str(start), **{name: int(of) if name.endswith("_count") else of for name, of in point.items()}}
        for start, point in found.items()
    ]


def _parts(period: Period, asked: TrendFilter) -> tuple[Part, ...]:
    return (points_part(period, asked.granularity),)


def _build(figures: Figures, asked: TrendFilter) -> dict[str, Any]:
    return {
        **figures.scope(),
        "granularity": asked.granularity.value,
        "points": points(figures.period, asked.granularity, point_rows(figures, asked.granularity)),
    }


TREND = Report("trend", "points", ("start", *_POINT), _parts, _build)
