"""Everything that the page shows, in one answer: one request, one snapshot, so that no two figures contradict."""

from typing import Any

from dashboard_api.filters import Filter
from dashboard_api.reports.breakdowns import GROUP_COLUMNS
from dashboard_api.reports.rankings import PRODUCT_COLUMNS, STORE_COLUMNS, ask_ranked
from dashboard_api.reports.reader import Reader, Row
from dashboard_api.reports.report import Report
from dashboard_api.reports.summary import ask_totals
from dashboard_api.reports.trend import ask_points, suited

_STORES_SHOWN = 100


def _product_sections(rows: list[Row]) -> dict[str, list[Row]]:
    # Products are by far the most rows, so they are read once for the three lists.
    columns = {"products": PRODUCT_COLUMNS, "returned_products": PRODUCT_COLUMNS, "product_groups": GROUP_COLUMNS}
    sections: dict[str, list[Row]] = {name: [] for name in columns}
    for row in rows:
        name = row["section"]
        sections[name].append({column: row[column] for column in columns[name]})
    return sections


async def _build(reader: Reader, asked: Filter) -> dict[str, Any]:
    del asked
    granularity = suited(reader.period)
    tenants, store_names = await reader.ask("tenant"), await reader.ask("store_names")
    totals, points = await ask_totals(reader), await ask_points(reader, granularity)
    sections = await reader.ask("product_sections")
    payments, cells = await reader.ask("payments"), await reader.ask("weekday_hours")
    stores = await ask_ranked(reader, "stores", STORE_COLUMNS, limit=_STORES_SHOWN)
    tenant = await tenants()
    return {
        **reader.scope(),
        "tenant": tenant[0]["name"] if tenant else None,
        "first_date": reader.first_date,
        "last_date": reader.last_date,
        "store_names": await store_names(),
        **await totals(),
        "granularity": granularity.value,
        "points": await points(),
        **_product_sections(await sections()),
        "payments": await payments(),
        "cells": await cells(),
        "stores": (await stores())[0],
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
