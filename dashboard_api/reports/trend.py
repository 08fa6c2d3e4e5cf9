"""The trend: net sales over time, each point beside that of the previous period."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from dashboard_api.errors import InvalidParameterError
from dashboard_api.filters import Granularity, TrendFilter
from dashboard_api.period import Period
from dashboard_api.reports.figures import SUMS, FigureRow, Figures, Part, Report
from dashboard_api.schemas import Point
from dashboard_api.serialization import ZERO, decimal_text

HOURLY_DAYS_MAX = 31
_COLUMNS = tuple(Point.model_fields)
_MEASURES = tuple(name for name in _COLUMNS if name != "start" and not name.startswith("previous_"))
_NO_SALES: FigureRow = {name: 0 if name.endswith("_count") else decimal_text(ZERO) for name in _MEASURES}
_HOURS = Part("hours")
_START_OF: dict[Granularity, Callable[[date], date]] = {
    Granularity.WEEK: lambda day: day - timedelta(days=day.weekday()),
    Granularity.MONTH: lambda day: day.replace(day=1),
}


def points_part(period: Period, granularity: Granularity) -> Part:
    """Return the part that `points` needs.

    Raises:
        InvalidParameterError: hours over more than 31 days.
    """
    if granularity is not Granularity.HOUR:
        return SUMS
    if period.days > HOURLY_DAYS_MAX:
        raise InvalidParameterError("granularity", f"`hour` allows at most {HOURLY_DAYS_MAX} days, not {period.days}")
    return _HOURS


def point_rows(figures: Figures, granularity: Granularity) -> list[FigureRow]:
    """Return the rows for `points`, of figures with `points_part`."""
    if granularity is Granularity.HOUR:
        return figures.rows(_HOURS)
    return figures.members(SUMS)["days"] or []


def points(period: Period, granularity: Granularity, rows: list[FigureRow]) -> list[dict[str, Any]]:
    """Return a point for each hour, day, week or month of the period, those without sales too, from `point_rows`.

    A date of the previous period counts towards the date that is one period length later, so that both periods have the same points.
    """
    if granularity is Granularity.HOUR:
        hours = [f"T{hour:02}:00:00" for hour in range(24)]
        starts = {f"{day}{hour}": f"{before}{hour}" for day, before in _date_pairs(period) for hour in hours}
        return _point_per_row(starts, {f"{row['date']}{hours[row['hour']]}": row for row in rows})
    rows_by_day = {row["date"]: row for row in rows}
    if granularity is Granularity.DAY:
        return _point_per_row(dict(_date_pairs(period)), rows_by_day)
    return _aggregated_points(period, rows_by_day, _START_OF[granularity])


def default_granularity(period: Period) -> Granularity:
    """Return the granularity that makes a readable chart of a period."""
    if period.days <= 2:
        return Granularity.HOUR
    if period.days <= 92:
        return Granularity.DAY
    return Granularity.WEEK if period.days <= 400 else Granularity.MONTH


def _date_pairs(period: Period) -> list[tuple[str, str]]:
    """Return every date with the date that it is compared to."""
    return list(zip(map(str, period.dates), map(str, period.previous.dates), strict=True))


def _point_per_row(starts: dict[str, str], rows: dict[str, FigureRow]) -> list[dict[str, Any]]:
    points = []
    for start, previous_start in starts.items():
        current, previous = rows.get(start, _NO_SALES), rows.get(previous_start, _NO_SALES)
        point = {"start": start, **{name: current[name] for name in _MEASURES}}
        point["previous_net_amount"] = previous["net_amount"]
        point["previous_sale_count"] = previous["sale_count"]
        points.append(point)
    return points


def _aggregated_points(
    period: Period, rows: dict[str, FigureRow], start_of: Callable[[date], date]
) -> list[dict[str, Any]]:
    # The first point begins with the period, even where its week or month began before.
    points: dict[date, dict[str, int | Decimal]] = {}
    for day, before in zip(period.dates, period.previous.dates, strict=True):
        point = points.setdefault(max(period.first, start_of(day)), dict.fromkeys(_COLUMNS[1:], ZERO))
        current, previous = rows.get(str(day)), rows.get(str(before))
        if current is not None:
            for name in _MEASURES:
                point[name] += Decimal(current[name])
        if previous is not None:
            point["previous_net_amount"] += Decimal(previous["net_amount"])
            point["previous_sale_count"] += previous["sale_count"]
    return [
        {"start": str(start), **{name: int(of) if name.endswith("_count") else of for name, of in point.items()}}
        for start, point in points.items()
    ]


def _parts(period: Period, filters: TrendFilter) -> tuple[Part, ...]:
    return (points_part(period, filters.granularity),)


def _build(figures: Figures, filters: TrendFilter) -> dict[str, Any]:
    granularity = filters.granularity
    return {
        **figures.periods(),
        "granularity": granularity.value,
        "points": points(figures.period, granularity, point_rows(figures, granularity)),
    }


TREND = Report("trend", "points", _COLUMNS, _parts, _build)
