"""Reports that break the sales of a period down: by product, customer, store, product group, payment method, weekday and hour."""

from typing import Any

from dashboard_api import schemas
from dashboard_api.filters import CustomerFilter, Filter, PageFilter, ProductFilter, ProductSort
from dashboard_api.period import Period
from dashboard_api.reports.figures import FigureRow, Figures, Part, Report

# The top products and groups that the page shows, which most other requests need as well.
PRODUCTS = Part("products")
_PRODUCTS_ON_PAGE = 10
FIRST_STORES = Part("stores", limit=100)
PAYMENTS_PART, CELLS_PART = Part("payments"), Part("cells")


def _page(rows: list[FigureRow], total: int, filters: PageFilter) -> dict[str, Any]:
    end = filters.offset + len(rows)
    return {
        "limit": filters.limit,
        "offset": filters.offset,
        "total_rows": total,
        "next_offset": end if end < total else None,
    }


def _products_part(period: Period, filters: ProductFilter) -> Part:
    del period
    if filters.sort is ProductSort.NET and not filters.offset and filters.limit <= _PRODUCTS_ON_PAGE:
        return PRODUCTS
    return Part("top_products", filters.sort.value, filters.limit, filters.offset)


def _products(figures: Figures, filters: ProductFilter) -> dict[str, Any]:
    part = _products_part(figures.period, filters)
    members = figures.members(part)
    if part is PRODUCTS:
        rows = (members["products"] or [])[: filters.limit]
        total = sum(group["product_count"] for group in members["product_groups"] or [])
    else:
        rows, total = members["rows"] or [], members["total_rows"]
    page = _page(rows, total, filters)
    return {**figures.periods(), "sort": filters.sort.value, "page": page, "products": rows}


def _customers_part(period: Period, filters: CustomerFilter) -> Part:
    del period
    return Part("top_customers", filters.sort.value, filters.limit, filters.offset)


def _customers(figures: Figures, filters: CustomerFilter) -> dict[str, Any]:
    members = figures.members(_customers_part(figures.period, filters))
    rows = members["rows"] or []
    page = _page(rows, members["total_rows"], filters)
    return {**figures.periods(), "sort": filters.sort.value, "page": page, "customers": rows}


def _stores_part(period: Period, filters: PageFilter) -> Part:
    del period
    is_among_first = filters.offset + filters.limit <= FIRST_STORES.limit
    return FIRST_STORES if is_among_first else Part("stores", limit=filters.limit, offset=filters.offset)


def _stores(figures: Figures, filters: PageFilter) -> dict[str, Any]:
    part = _stores_part(figures.period, filters)
    members = figures.members(part)
    begin = filters.offset - part.offset
    rows = (members["rows"] or [])[begin : begin + filters.limit]
    # Past the end, no row carries the total.
    total = members["total_rows"] if rows else 0
    return {**figures.periods(), "page": _page(rows, total, filters), "stores": rows}


def _groups(figures: Figures, filters: Filter) -> dict[str, Any]:
    del filters
    return {**figures.periods(), "product_groups": figures.members(PRODUCTS)["product_groups"] or []}


def _payments(figures: Figures, filters: Filter) -> dict[str, Any]:
    del filters
    return {**figures.periods(), "payments": figures.rows(PAYMENTS_PART)}


def _heatmap(figures: Figures, filters: Filter) -> dict[str, Any]:
    del filters
    return {**figures.periods(), "cells": figures.rows(CELLS_PART)}


TOP_PRODUCTS = Report(
    "top-products", "products", tuple(schemas.Product.model_fields), lambda *of: (_products_part(*of),), _products
)
TOP_CUSTOMERS = Report(
    "top-customers", "customers", tuple(schemas.Customer.model_fields), lambda *of: (_customers_part(*of),), _customers
)
STORES = Report("stores", "stores", tuple(schemas.Store.model_fields), lambda *of: (_stores_part(*of),), _stores)
PRODUCT_GROUPS = Report(
    "product-groups", "product_groups", tuple(schemas.ProductGroup.model_fields), lambda *_: (PRODUCTS,), _groups
)
PAYMENTS = Report("payments", "payments", tuple(schemas.Payment.model_fields), lambda *_: (PAYMENTS_PART,), _payments)
HEATMAP = Report("heatmap", "cells", tuple(schemas.Cell.model_fields), lambda *_: (CELLS_PART,), _heatmap)
