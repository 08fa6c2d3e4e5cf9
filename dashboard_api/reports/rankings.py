"""Lists that rank: products, customers, stores; a page at a time."""

from typing import Any, LiteralString

from dashboard_api.filters import CustomerFilter, PageFilter, ProductFilter
from dashboard_api.reports.reader import Reader, Row
from dashboard_api.reports.report import Report

PRODUCT_COLUMNS = (
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


async def ranked(
    reader: Reader,
    statement: LiteralString,
    columns: tuple[str, ...],
    *,
    limit: int,
    offset: int = 0,
    sort: str = "net",
) -> tuple[list[Row], int]:
    """A page of rows, and how many rows there are in all (0 past the end)."""
    rows = await reader.rows(statement, sort=sort, row_limit=limit, row_offset=offset)
    return [{name: row[name] for name in columns} for row in rows], rows[0]["total_rows"] if rows else 0


async def stores_of(reader: Reader, *, limit: int) -> list[Row]:
    """The first stores by net."""
    return (await ranked(reader, "stores", _STORE, limit=limit))[0]


def _page(rows: list[Row], total: int, asked: PageFilter) -> dict[str, Any]:
    after = asked.offset + len(rows)
    return {
        "limit": asked.limit,
        "offset": asked.offset,
        "total_rows": total,
        "next_offset": after if after < total else None,
    }


async def _products(reader: Reader, asked: ProductFilter) -> dict[str, Any]:
    sort = asked.sort.value
    rows, total = await ranked(
        reader, "top_products", PRODUCT_COLUMNS, limit=asked.limit, offset=asked.offset, sort=sort
    )
    return {**reader.scope(), "sort": sort, "page": _page(rows, total, asked), "products": rows}


async def _customers(reader: Reader, asked: CustomerFilter) -> dict[str, Any]:
    sort = asked.sort.value
    rows, total = await ranked(reader, "top_customers", _CUSTOMER, limit=asked.limit, offset=asked.offset, sort=sort)
    return {**reader.scope(), "sort": sort, "page": _page(rows, total, asked), "customers": rows}


async def _stores(reader: Reader, asked: PageFilter) -> dict[str, Any]:
    rows, total = await ranked(reader, "stores", _STORE, limit=asked.limit, offset=asked.offset)
    return {**reader.scope(), "page": _page(rows, total, asked), "stores": rows}


TOP_PRODUCTS = Report("top-products", "products", PRODUCT_COLUMNS, _products)
TOP_CUSTOMERS = Report("top-customers", "customers", _CUSTOMER, _customers)
STORES = Report("stores", "stores", _STORE, _stores)
