"""The reports, each over the rollups alone. How figures are read and shared is in `figures` and `figures_cache`."""

from dashboard_api.reports.breakdowns import HEATMAP, PAYMENTS, PRODUCT_GROUPS, STORES, TOP_CUSTOMERS, TOP_PRODUCTS
from dashboard_api.reports.figures import Figures, Part, Report, resolve_scope, scope_statement
from dashboard_api.reports.summary import OVERVIEW, SALES_SUMMARY
from dashboard_api.reports.trend import TREND

__all__ = [
    "HEATMAP",
    "OVERVIEW",
    "PAYMENTS",
    "PRODUCT_GROUPS",
    "SALES_SUMMARY",
    "STORES",
    "TOP_CUSTOMERS",
    "TOP_PRODUCTS",
    "TREND",
    "Figures",
    "Part",
    "Report",
    "resolve_scope",
    "scope_statement",
]
