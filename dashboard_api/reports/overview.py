"""Everything that the page shows, in one answer: one request, one snapshot, so that no two figures contradict."""

from typing import Any

from dashboard_api.filters import Filter
from dashboard_api.reports.breakdowns import GROUP_COLUMNS, cells_of, payments_of
from dashboard_api.reports.rankings import PRODUCT_COLUMNS, stores_of
from dashboard_api.reports.reader import Reader, Row
from dashboard_api.reports.report import Report
from dashboard_api.reports.summary import totals_of
from dashboard_api.reports.trend import points_of, suited

_STORES_SHOWN = 100


async def _product_sections(reader: Reader) -> dict[str, list[Row]]:
    # Products are by far the most rows, so they are read once for the three lists.
    columns = {"products": PRODUCT_COLUMNS, "returned_products": PRODUCT_COLUMNS, "product_groups": GROUP_COLUMNS}
    sections: dict[str, list[Row]] = {name: [] for name in columns}
    for row in await reader.rows("product_sections"):
        name = row["section"]
        sections[name].append({column: row[column] for column in columns[name]})
    return sections


async def _build(reader: Reader, asked: Filter) -> dict[str, Any]:
    del asked
    granularity = suited(reader.period)
    tenant = await reader.rows("tenant")
    sections = await _product_sections(reader)
    return {
        **reader.scope(),
        "tenant": tenant[0]["name"] if tenant else None,
        "first_date": reader.first_date,
        "last_date": reader.last_date,
        "store_names": await reader.rows("store_names"),
        **await totals_of(reader),
        "granularity": granularity.value,
        "points": await points_of(reader, granularity),
        **sections,
        "payments": await payments_of(reader),
        "cells": await cells_of(reader),
        "stores": await stores_of(reader, limit=_STORES_SHOWN),
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
    _build,
)
