"""The sales summary: totals of a period and of the one before, and a row per day."""

from decimal import Decimal
from typing import Any

from dashboard_api.filters import Filter
from dashboard_api.money import ZERO, average, change, plain, ratio
from dashboard_api.reports.figures import SUMS, Figures, Part, Row
from dashboard_api.reports.report import Report

COUNTS = ("sale_count", "return_count")
AMOUNTS = (
    "units",
    "returned_units",
    "gross_amount",
    "discount_amount",
    "tax_amount",
    "refund_amount",
    "cost_amount",
    "net_amount",
    "margin_amount",
)
_NOTHING: dict[str, int | Decimal] = {**dict.fromkeys(COUNTS, 0), **dict.fromkeys(AMOUNTS, ZERO)}
_NOTHING_TO_SHOW = {**dict.fromkeys(COUNTS, 0), **dict.fromkeys(AMOUNTS, plain(ZERO))}
_CHANGES = ("sale_count", "units", "gross_amount", "refund_amount", "net_amount", "margin_amount", "unique_customers")


CUSTOMER_COUNTS = Part("customer_counts")
TOTALS_PARTS = (SUMS, CUSTOMER_COUNTS)


def totals(sums: dict[str, Any], customers: list[Row]) -> dict[str, Any]:
    """Give the totals of both periods and how they changed; made of `SUMS` and `CUSTOMER_COUNTS`.

    Gross is what was charged before discounts; net is gross less discount less refunds; margin is net less cost. The average
    order value is (gross - discount) / sales, the return rate refunds / (gross - discount), the margin rate margin / net.
    """
    sold, bought = ({row["is_current"]: row for row in rows} for rows in (sums["totals"] or [], customers))
    current, previous = (_totals(sold.get(is_current), bought.get(is_current)) for is_current in (True, False))
    changes = {name: change(current[name], previous[name]) for name in _CHANGES}
    for name in ("average_order_value", "return_rate", "margin_rate"):
        both = current[name] is not None and previous[name] is not None
        changes[name] = change(Decimal(current[name]), Decimal(previous[name])) if both else None
    return {"totals": current, "previous_totals": previous, "change": changes}


def _totals(sums: Row | None, customers: Row | None) -> dict[str, Any]:
    found: dict[str, Any] = _NOTHING
    if sums is not None:
        found = {**{name: sums[name] for name in COUNTS}, **{name: Decimal(sums[name]) for name in AMOUNTS}}
    sold = found["gross_amount"] - found["discount_amount"]
    return {
        **found,
        "average_order_value": average(Decimal(sold), int(found["sale_count"])),
        "return_rate": ratio(found["refund_amount"], sold),
        "margin_rate": ratio(found["margin_amount"], found["net_amount"]),
        "unique_customers": customers["unique_customers"] if customers else 0,
        "repeat_customers": customers["repeat_customers"] if customers else 0,
    }


def _build(figures: Figures, asked: Filter) -> dict[str, Any]:
    del asked
    sums = figures.members(SUMS)
    found = {row["date"]: row for row in sums["days"] or []}
    days = [found.get(day) or {"date": day, **_NOTHING_TO_SHOW} for day in map(str, figures.period.dates)]
    return {**figures.scope(), **totals(sums, figures.rows(CUSTOMER_COUNTS)), "days": days}


SALES_SUMMARY = Report("sales-summary", "days", ("date", *_NOTHING), lambda *_: TOTALS_PARTS, _build)
