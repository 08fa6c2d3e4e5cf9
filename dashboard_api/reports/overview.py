"""Everything that the page shows, in one answer: one request, one snapshot, so that no two figures contradict."""

from typing import Any

from dashboard_api.filters import Filter
from dashboard_api.reports.breakdowns import cells_of, groups_of, payments_of
from dashboard_api.reports.rankings import products_of, stores_of
from dashboard_api.reports.reader import Reader
from dashboard_api.reports.report import Report
from dashboard_api.reports.summary import totals_of
from dashboard_api.reports.trend import points_of, suited

_STORES_SHOWN = 100


async def _build(reader: Reader, asked: Filter) -> dict[str, Any]:
    del asked
    granularity = suited(reader.period)
    tenant = await reader.rows("tenant")
    returned = await products_of(reader, limit=5, sort="refunds")
    return {
        **reader.scope(),
        "tenant": tenant[0]["name"] if tenant else None,
        "first_date": reader.first_date,
        "last_date": reader.last_date,
        "store_names": await reader.rows("store_names"),
        **await totals_of(reader),
        "granularity": granularity.value,
        "points": await points_of(reader, granularity),
        "products": await products_of(reader, limit=10, sort="net"),
        "returned_products": [row for row in returned if row["refund_amount"]],
        "product_groups": await groups_of(reader),
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
