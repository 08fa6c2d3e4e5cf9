"""The sales summary (totals of a period and the previous one, a row per day), and the overview, which opens with the same totals."""

from decimal import Decimal
from typing import Any

from dashboard_api.filters import Filter, Granularity
from dashboard_api.period import Period
from dashboard_api.reports.breakdowns import CELLS_PART, FIRST_STORES, PAYMENTS_PART, PRODUCTS
from dashboard_api.reports.figures import SUMS, FigureRow, Figures, Part, Report
from dashboard_api.reports.trend import default_granularity, point_rows, points, points_part
from dashboard_api.schemas import Changes, Sums
from dashboard_api.serialization import ZERO, average, change, decimal_text, ratio

_COUNTS = ("sale_count", "return_count")
_AMOUNTS = tuple(name for name in Sums.model_fields if name not in _COUNTS)
_NO_SALES: dict[str, int | Decimal] = {**dict.fromkeys(_COUNTS, 0), **dict.fromkeys(_AMOUNTS, ZERO)}
_DAY_WITHOUT_SALES = {**dict.fromkeys(_COUNTS, 0), **dict.fromkeys(_AMOUNTS, decimal_text(ZERO))}
_CHANGES = tuple(Changes.model_fields)
_RATIOS = ("average_order_value", "return_rate", "margin_rate")
_CUSTOMER_COUNTS = Part("customer_counts")
_NAMES = Part("names")
_TOTALS_PARTS = (SUMS, _CUSTOMER_COUNTS)


def _totals_members(sums: dict[str, Any], customers: list[FigureRow]) -> dict[str, Any]:
    """Return the totals of both periods and how they changed, from the parts `SUMS` and `_CUSTOMER_COUNTS`.

    Gross is what was charged before discounts; net is gross less discount less refunds; margin is net less cost. The average
    order value is (gross - discount) / sales, the return rate refunds / (gross - discount), the margin rate margin / net.
    """
    sales_rows, customer_rows = ({row["is_current"]: row for row in rows} for rows in (sums["totals"] or [], customers))
    current, previous = (_totals(sales_rows.get(key), customer_rows.get(key)) for key in (True, False))
    changes: dict[str, str | None] = {}
    for name in _CHANGES:
        now, before = current[name], previous[name]
        if name in _RATIOS:
            changes[name] = None if now is None or before is None else change(Decimal(now), Decimal(before))
        else:
            changes[name] = change(now, before)
    return {"totals": current, "previous_totals": previous, "change": changes}


def _totals(sums: FigureRow | None, customers: FigureRow | None) -> dict[str, Any]:
    totals: dict[str, Any] = _NO_SALES
    if sums is not None:
        totals = {**{name: sums[name] for name in _COUNTS}, **{name: Decimal(sums[name]) for name in _AMOUNTS}}
    after_discount = totals["gross_amount"] - totals["discount_amount"]
    return {
        **totals,
        "average_order_value": average(Decimal(after_discount), int(totals["sale_count"])),
        "return_rate": ratio(totals["refund_amount"], after_discount),
        "margin_rate": ratio(totals["margin_amount"], totals["net_amount"]),
        "unique_customers": customers["unique_customers"] if customers else 0,
        "repeat_customers": customers["repeat_customers"] if customers else 0,
    }


def _build_summary(figures: Figures, filters: Filter) -> dict[str, Any]:
    del filters
    sums = figures.members(SUMS)
    rows = {row["date"]: row for row in sums["days"] or []}
    days = [rows.get(day) or {"date": day, **_DAY_WITHOUT_SALES} for day in map(str, figures.period.dates)]
    return {**figures.periods(), **_totals_members(sums, figures.rows(_CUSTOMER_COUNTS)), "days": days}


def _overview_parts(period: Period, filters: Filter) -> tuple[Part, ...]:
    del filters
    points_of = points_part(period, default_granularity(period))
    parts = (_NAMES, *_TOTALS_PARTS, points_of, PRODUCTS, PAYMENTS_PART, CELLS_PART, FIRST_STORES)
    return tuple(dict.fromkeys(parts))


def _build_overview(figures: Figures, filters: Filter) -> dict[str, Any]:
    del filters
    granularity = default_granularity(figures.period)
    names, products, sums = (figures.members(part) for part in (_NAMES, PRODUCTS, SUMS))
    is_hourly = granularity is Granularity.HOUR
    rows = point_rows(figures, granularity) if is_hourly else sums["days"] or []
    return {
        **figures.periods(),
        "tenant": names["tenant"],
        "first_date": figures.first_date,
        "last_date": figures.last_date,
        "store_names": names["store_names"] or [],
        **_totals_members(sums, figures.rows(_CUSTOMER_COUNTS)),
        "granularity": granularity.value,
        "points": points(figures.period, granularity, rows),
        "products": products["products"] or [],
        "returned_products": products["returned_products"] or [],
        "product_groups": products["product_groups"] or [],
        "payments": figures.rows(PAYMENTS_PART),
        "cells": figures.rows(CELLS_PART),
        "stores": figures.members(FIRST_STORES)["rows"] or [],
    }


SALES_SUMMARY = Report("sales-summary", "days", ("date", *_NO_SALES), lambda *_: _TOTALS_PARTS, _build_summary)
OVERVIEW = Report(
    "overview",
    "points",
    (
        "start",
        "sale_count",
        "units",
        "gross_amount",
        "refund_amount",
        "net_amount",
        "margin_amount",
        "previous_net_amount",
    ),
    _overview_parts,
    _build_overview,
)
