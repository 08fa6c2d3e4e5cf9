"""Everything that the page shows, in one answer: one request, one state, so that no two figures contradict."""

from typing import Any

from dashboard_api.filters import Filter
from dashboard_api.period import Period
from dashboard_api.reports.breakdowns import CELLS_PART, PAYMENTS_PART
from dashboard_api.reports.figures import Figures, Part
from dashboard_api.reports.rankings import FIRST_STORES, PRODUCTS
from dashboard_api.reports.report import Report
from dashboard_api.reports.summary import TOTALS_PARTS, totals
from dashboard_api.reports.trend import points, points_part, suited

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
    names, products = figures.members(_NAMES), figures.members(PRODUCTS)
    return {
        **figures.scope(),
        "tenant": names["tenant"],
        "first_date": figures.first_date,
        "last_date": figures.last_date,
        "store_names": names["store_names"] or [],
        **totals(figures),
        "granularity": granularity.value,
        "points": points(figures, granularity),
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
