"""How the sales of a period divide: by product group, by payment method, by weekday and hour."""

from typing import Any

from dashboard_api.filters import Filter
from dashboard_api.reports.reader import Reader
from dashboard_api.reports.report import Report

GROUP_COLUMNS = (
    "product_group_id",
    "product_group_name",
    "product_count",
    "units",
    "refund_amount",
    "net_amount",
    "margin_amount",
    "previous_net_amount",
)
_PAYMENT = (
    "payment_method",
    "payment_count",
    "refund_count",
    "payment_amount",
    "refund_amount",
    "received_amount",
    "previous_received_amount",
)
_CELL = ("weekday", "hour", "sale_count", "units", "net_amount")


async def _groups(reader: Reader, asked: Filter) -> dict[str, Any]:
    del asked
    return {**reader.scope(), "product_groups": await reader.rows("product_groups")}


async def _payments(reader: Reader, asked: Filter) -> dict[str, Any]:
    del asked
    return {**reader.scope(), "payments": await reader.rows("payments")}


async def _heatmap(reader: Reader, asked: Filter) -> dict[str, Any]:
    del asked
    return {**reader.scope(), "cells": await reader.rows("weekday_hours")}


PRODUCT_GROUPS = Report("product-groups", "product_groups", GROUP_COLUMNS, _groups)
PAYMENTS = Report("payments", "payments", _PAYMENT, _payments)
HEATMAP = Report("heatmap", "cells", _CELL, _heatmap)
