"""How the sales of a period divide: by product group, by payment method, by weekday and hour."""

from typing import Any

from dashboard_api.filters import Filter
from dashboard_api.reports.figures import Figures, Part
from dashboard_api.reports.rankings import PRODUCTS
from dashboard_api.reports.report import Report

PAYMENTS_PART, CELLS_PART = Part("payments"), Part("cells")
_GROUP = (
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


def _groups(figures: Figures, asked: Filter) -> dict[str, Any]:
    del asked
    return {**figures.scope(), "product_groups": figures.members(PRODUCTS)["product_groups"] or []}


def _payments(figures: Figures, asked: Filter) -> dict[str, Any]:
    del asked
    return {**figures.scope(), "payments": figures.rows(PAYMENTS_PART)}


def _heatmap(figures: Figures, asked: Filter) -> dict[str, Any]:
    del asked
    return {**figures.scope(), "cells": figures.rows(CELLS_PART)}


PRODUCT_GROUPS = Report("product-groups", "product_groups", _GROUP, lambda *_: (PRODUCTS,), _groups)
PAYMENTS = Report("payments", "payments", _PAYMENT, lambda *_: (PAYMENTS_PART,), _payments)
HEATMAP = Report("heatmap", "cells", _CELL, lambda *_: (CELLS_PART,), _heatmap)
