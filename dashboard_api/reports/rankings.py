"""Lists that rank: products, customers, stores; a page at a time."""

from typing import Any, LiteralString

from dashboard_api.filters import CustomerFilter, PageFilter, ProductFilter
from dashboard_api.reports.reader import Later, Reader, Row
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
STORE_COLUMNS = (
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


async def ask_ranked(
    reader: Reader,
    statement: LiteralString,
    columns: tuple[str, ...],
    *,
    limit: int,
    offset: int = 0,
    sort: str = "net",
) -> Later[tuple[list[Row], int]]:
    """Ask for a page of rows, and for how many rows there are in all (0 past the end)."""
    asked = await reader.ask(statement, sort=sort, row_limit=limit, row_offset=offset)

    async def ranked() -> tuple[list[Row], int]:
        rows = await asked()
        return [{name: row[name] for name in columns} for row in rows], rows[0]["total_rows"] if rows else 0

    return ranked


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
    ranked = await ask_ranked(
        reader, "top_products", PRODUCT_COLUMNS, limit=asked.limit, offset=asked.offset, sort=sort
    )
    rows, total = await ranked()
    return {**reader.scope(), "sort": sort, "page": _page(rows, total, asked), "products": rows}


async def _customers(reader: Reader, asked: CustomerFilter) -> dict[str, Any]:
    sort = asked.sort.value
    ranked = await ask_ranked(reader, "top_customers", _CUSTOMER, limit=asked.limit, offset=asked.offset, sort=sort)
    rows, total = await ranked()
    return {**reader.scope(), "sort": sort, "page": _page(rows, total, asked), "customers": rows}


async def _stores(reader: Reader, asked: PageFilter) -> dict[str, Any]:
    ranked = await ask_ranked(reader, "stores", STORE_COLUMNS, limit=asked.limit, offset=asked.offset)
    rows, total = await ranked()
    return {**reader.scope(), "page": _page(rows, total, asked), "stores": rows}


TOP_PRODUCTS = Report("top-products", "products", PRODUCT_COLUMNS, _products)
TOP_CUSTOMERS = Report("top-customers", "customers", _CUSTOMER, _customers)
STORES = Report("stores", "stores", STORE_COLUMNS, _stores)
