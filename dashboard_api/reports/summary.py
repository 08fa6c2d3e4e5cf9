"""The sales summary: totals of a period and of the one before, and a row per day."""

from decimal import Decimal
from typing import Any

from dashboard_api.filters import Filter
from dashboard_api.money import ZERO, average, change, ratio
from dashboard_api.reports.reader import Later, Reader, Row
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
_CHANGES = ("sale_count", "units", "gross_amount", "refund_amount", "net_amount", "margin_amount", "unique_customers")


async def ask_totals(reader: Reader) -> Later[dict[str, Any]]:
    """Ask for the totals of both periods and how they changed.

    Gross is what was charged before discounts; net is gross less discount less refunds; margin is net less cost. The average
    order value is (gross - discount) / sales, the return rate refunds / (gross - discount), the margin rate margin / net.
    """
    sums, customers = await reader.ask("store_totals"), await reader.ask("customer_counts")

    async def totals() -> dict[str, Any]:
        return _compare(await sums(), await customers())

    return totals


def _compare(sum_rows: list[Row], customer_rows: list[Row]) -> dict[str, Any]:
    sums, customers = ({row["is_current"]: row for row in rows} for rows in (sum_rows, customer_rows))
    current, previous = (_totals(sums.get(is_current), customers.get(is_current)) for is_current in (True, False))
    changes = {name: change(current[name], previous[name]) for name in _CHANGES}
    for name in ("average_order_value", "return_rate", "margin_rate"):
        both = current[name] is not None and previous[name] is not None
        changes[name] = change(Decimal(current[name]), Decimal(previous[name])) if both else None
    return {"totals": current, "previous_totals": previous, "change": changes}


def _totals(sums: Row | None, customers: Row | None) -> dict[str, Any]:
    found = _NOTHING if sums is None else {name: sums[name] for name in _NOTHING}
    sold = found["gross_amount"] - found["discount_amount"]
    return {
        **found,
        "average_order_value": average(Decimal(sold), int(found["sale_count"])),
        "return_rate": ratio(found["refund_amount"], sold),
        "margin_rate": ratio(found["margin_amount"], found["net_amount"]),
        "unique_customers": customers["unique_customers"] if customers else 0,
        "repeat_customers": customers["repeat_customers"] if customers else 0,
    }


async def _build(reader: Reader, asked: Filter) -> dict[str, Any]:
    del asked
    totals, rows = await ask_totals(reader), await reader.ask("days")
    found = {row["business_date"]: row for row in await rows()}
    days = [{"date": day, **{name: found.get(day, _NOTHING)[name] for name in _NOTHING}} for day in reader.period.dates]
    return {**reader.scope(), **await totals(), "days": days}


SALES_SUMMARY = Report("sales-summary", "days", ("date", *_NOTHING), _build)
