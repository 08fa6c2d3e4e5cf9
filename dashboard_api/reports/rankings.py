"""Lists that rank: products, customers, stores; a page at a time."""

from typing import Any

from dashboard_api.filters import CustomerFilter, PageFilter, ProductFilter, ProductSort
from dashboard_api.period import Period
from dashboard_api.reports.figures import Figures, Part, Row
from dashboard_api.reports.report import Report

# What the page shows, which other questions mostly ask for as well.
PRODUCTS = Part("products")
_PRODUCTS_SHOWN = 10
FIRST_STORES = Part("stores", limit=100)
_PRODUCT = (
    "product_id",
    "sku",
    "name",
    "product_group_name",
    "units",
    "returned_units",
    "gross_amount",
    "refund_amount",
    "net_amount",
    "margin_amount",
    "previous_units",
    "previous_net_amount",
)
_CUSTOMER = ("customer_id", "name", "sale_count", "units", "refund_amount", "net_amount", "previous_net_amount")
_STORE = (
    "store_id",
    "name",
    "time_zone",
    "sale_count",
    "return_count",
    "units",
    "gross_amount",
    "refund_amount",
    "net_amount",
    "margin_amount",
    "previous_net_amount",
)


def _page(rows: list[Row], total: int, asked: PageFilter) -> dict[str, Any]:
    after = asked.offset + len(rows)
    return {
        "limit": asked.limit,
        "offset": asked.offset,
        "total_rows": total,
        "next_offset": after if after < total else None,
    }


def _products_part(period: Period, asked: ProductFilter) -> Part:
    del period
    if asked.sort is ProductSort.NET and not asked.offset and asked.limit <= _PRODUCTS_SHOWN:
        return PRODUCTS
    return Part("top_products", asked.sort.value, asked.limit, asked.offset)


def _products(figures: Figures, asked: ProductFilter) -> dict[str, Any]:
    part = _products_part(figures.period, asked)
    found = figures.members(part)
    if part is PRODUCTS:
        rows = (found["products"] or [])[: asked.limit]
        total = sum(group["product_count"] for group in found["product_groups"] or [])
    else:
        rows, total = found["rows"] or [], found["total_rows"]
    return {**figures.scope(), "sort": asked.sort.value, "page": _page(rows, total, asked), "products": rows}


def _customers_part(period: Period, asked: CustomerFilter) -> Part:
    del period
    return Part("top_customers", asked.sort.value, asked.limit, asked.offset)


def _customers(figures: Figures, asked: CustomerFilter) -> dict[str, Any]:
    found = figures.members(_customers_part(figures.period, asked))
    rows = found["rows"] or []
    return {
        **figures.scope(),
        "sort": asked.sort.value,
        "page": _page(rows, found["total_rows"], asked),
        "customers": rows,
    }


def _stores_part(period: Period, asked: PageFilter) -> Part:
    del period
    is_among_first = asked.offset + asked.limit <= FIRST_STORES.limit
    return FIRST_STORES if is_among_first else Part("stores", limit=asked.limit, offset=asked.offset)


def _stores(figures: Figures, asked: PageFilter) -> dict[str, Any]:
    part = _stores_part(figures.period, asked)
    found = figures.members(part)
    begin = asked.offset - part.offset
    rows = (found["rows"] or [])[begin : begin + asked.limit]
    # Past the end nothing tells how many there are.
    total = found["total_rows"] if rows else 0
    return {**figures.scope(), "page": _page(rows, total, asked), "stores": rows}


TOP_PRODUCTS = Report("top-products", "products", _PRODUCT, lambda *of: (_products_part(*of),), _products)
TOP_CUSTOMERS = Report("top-customers", "customers", _CUSTOMER, lambda *of: (_customers_part(*of),), _customers)
STORES = Report("stores", "stores", _STORE, lambda *of: (_stores_part(*of),), _stores)
