"""Everything that the page shows, in one answer: one request, one state, so that no two figures contradict."""

from typing import Any

from dashboard_api.filters import Filter, Granularity
from dashboard_api.period import Period
from dashboard_api.reports.breakdowns import CELLS_PART, PAYMENTS_PART
from dashboard_api.reports.figures import SUMS, Figures, Part
from dashboard_api.reports.rankings import FIRST_STORES, PRODUCTS
from dashboard_api.reports.report import Report
from dashboard_api.reports.summary import CUSTOMER_COUNTS, TOTALS_PARTS, totals
from dashboard_api.reports.trend import point_rows, points, points_part, suited

_NAMES = Part("names")


def _parts(period: Period, asked: Filter) -> tuple[Part, ...]:
    del asked
    parts = (
        _NAMES,
        *TOTALS_PARTS,
        points_part(period, suited(period)),
        PRODUCTS,
        PAYMENTS_PART,
        CELLS_PART,
        FIRST_STORES,
    )
    return tuple(dict.fromkeys(parts))


def _build(figures: Figures, asked: Filter) -> dict[str, Any]:
    del asked
    granularity = suited(figures.period)
    names, products, sums = (figures.members(part) for part in (_NAMES, PRODUCTS, SUMS))
    is_hourly = granularity is Granularity.HOUR
    rows = point_rows(figures, granularity) if is_hourly else sums["days"] or []
    return {
        **figures.scope(),
        "tenant": names["tenant"],
        "first_date": figures.first_date,
        "last_date": figures.last_date,
        "store_names": names["store_names"] or [],
        **totals(sums, figures.rows(CUSTOMER_COUNTS)),
        "granularity": granularity.value,
        "points": points(figures.period, granularity, rows),
        "products": products["products"] or [],
        "returned_products": products["returned_products"] or [],
        "product_groups": products["product_groups"] or [],
        "payments": figures.rows(PAYMENTS_PART),
        "cells": figures.rows(CELLS_PART),
        "stores": figures.members(FIRST_STORES)["rows"] or [],
    }


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
    _parts,
    _build,
)
