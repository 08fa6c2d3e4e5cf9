"""The reports: one value each, over the rollups alone."""

from typing import Any

from dashboard_api.reports.breakdowns import HEATMAP, PAYMENTS, PRODUCT_GROUPS
from dashboard_api.reports.figures import Figures, Part, opened, opening
from dashboard_api.reports.overview import OVERVIEW
from dashboard_api.reports.rankings import STORES, TOP_CUSTOMERS, TOP_PRODUCTS
from dashboard_api.reports.report import Report
from dashboard_api.reports.summary import SALES_SUMMARY
from dashboard_api.reports.trend import TREND

REPORTS: dict[str, Report[Any]] = {
    report.name: report
    for report in (
        OVERVIEW,
        SALES_SUMMARY,
        TREND,
        TOP_PRODUCTS,
        TOP_CUSTOMERS,
        PRODUCT_GROUPS,
        PAYMENTS,
        HEATMAP,
        STORES,
    )
}
"""All of them, by name."""

__all__ = [
    "HEATMAP",
    "OVERVIEW",
    "PAYMENTS",
    "PRODUCT_GROUPS",
    "REPORTS",
    "SALES_SUMMARY",
    "STORES",
    "TOP_CUSTOMERS",
    "TOP_PRODUCTS",
    "TREND",
    "Figures",
    "Part",
    "Report",
    "opened",
    "opening",
]
