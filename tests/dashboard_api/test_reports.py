"""Every report says what plain SQL over the application's tables says."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.dashboard_api.conftest import LAST_DAY, Shop
from tests.dashboard_api.expected_reports import ZERO, ExpectedReports, Selection

MEASURES = ("sale_count", "return_count", "units", "returned_units", "gross_amount", "discount_amount", "tax_amount")
MEASURES += ("refund_amount", "cost_amount", "net_amount", "margin_amount")


@pytest.fixture(scope="module")
def expected(shop: Shop) -> ExpectedReports:
    return ExpectedReports(shop)


PERIODS = {
    "a day": (LAST_DAY, LAST_DAY),
    "thirty days": (date(2025, 5, 20), date(2025, 6, 18)),
    "one whole month": (date(2025, 2, 1), date(2025, 2, 28)),
    "months and both edges": (date(2024, 11, 17), date(2025, 3, 3)),
    "more than there is": (date(2023, 7, 1), date(2025, 12, 31)),
    "before the first sale": (date(2019, 1, 1), date(2019, 3, 31)),
}


@pytest.fixture(params=PERIODS, ids=lambda name: name.replace(" ", "-"))
def selection(request: pytest.FixtureRequest, shop: Shop) -> Selection:
    return Selection(shop.tenant, *PERIODS[request.param])


@pytest.fixture
def of_two_stores(shop: Shop) -> Selection:
    return Selection(shop.tenant, date(2025, 1, 10), date(2025, 4, 20), tuple(shop.stores[shop.tenant][:2]))


def get(client: httpx.Client, report: str, selection: Selection, **more: Any) -> dict[str, Any]:
    response = client.get(f"/api/dashboard/{report}", params={**selection.parameters(), **more})
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    assert document["period"] == {
        "from": str(selection.first),
        "to": str(selection.last),
        "days": (selection.last - selection.first).days + 1,
    }
    assert document["previous_period"]["to"] == str(selection.first - timedelta(1))
    return document


def numbers(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Decimal]:
    assert all(isinstance(row[name], str) for name in names if name.endswith("_amount")), "money is text"
    return {name: Decimal(row[name]) for name in names}


def values_of(sums: dict[str, Any] | None, names: tuple[str, ...]) -> dict[str, Decimal]:
    return {name: Decimal(sums[name]) if sums else ZERO for name in names}


def check_summary(document: dict[str, Any], expected: ExpectedReports, selection: Selection) -> None:
    for member, selected in (("totals", selection), ("previous_totals", selection.previous)):
        sums = expected.sums("daily_store_sales", selected, lambda row: "all").get("all")
        totals = document[member]
        assert numbers(totals, MEASURES) == values_of(sums, MEASURES)
        customers = expected.sums("daily_customer_sales", selected, lambda row: row["customer_id"])
        assert totals["unique_customers"] == sum(row["sale_count"] > 0 for row in customers.values())
        assert totals["repeat_customers"] == sum(row["sale_count"] > 1 for row in customers.values())
        after_discount = sums["gross_amount"] - sums["discount_amount"] if sums else ZERO
        if after_discount:
            assert sums is not None
            assert Decimal(totals["average_order_value"]) == (after_discount / sums["sale_count"]).quantize(
                Decimal("0.01")
            )
            assert Decimal(totals["return_rate"]) == (sums["refund_amount"] / after_discount).quantize(
                Decimal("0.0001")
            )
        else:
            assert totals["average_order_value"] is None


def test_summary(client: httpx.Client, expected: ExpectedReports, selection: Selection) -> None:
    document = get(client, "sales-summary", selection)
    check_summary(document, expected, selection)
    by_day = expected.sums("daily_store_sales", selection, lambda row: str(row["business_date"]))
    assert len(document["days"]) == document["period"]["days"], "days without sales are there too"
    for day in document["days"]:
        assert numbers(day, MEASURES) == values_of(by_day.get(day["date"]), MEASURES)


def test_summary_of_some_stores(client: httpx.Client, expected: ExpectedReports, of_two_stores: Selection) -> None:
    document = get(client, "sales-summary", of_two_stores)
    check_summary(document, expected, of_two_stores)
    assert document["totals"]["sale_count"] > 0


def test_change_is_relative_to_the_previous_period(client: httpx.Client, of_two_stores: Selection) -> None:
    document = get(client, "sales-summary", of_two_stores)
    now, before = (Decimal(document[name]["net_amount"]) for name in ("totals", "previous_totals"))
    assert Decimal(document["change"]["net_amount"]) == ((now - before) / abs(before)).quantize(Decimal("0.0001"))


@pytest.mark.parametrize("granularity", ["day", "week", "month"])
def test_trend(client: httpx.Client, expected: ExpectedReports, selection: Selection, granularity: str) -> None:
    points = get(client, "trend", selection, granularity=granularity)["points"]
    length = (selection.last - selection.first).days + 1

    def start(day: date) -> str:
        begins = {"day": day, "week": day - timedelta(day.weekday()), "month": day.replace(day=1)}[granularity]
        return str(max(begins, selection.first))

    now = expected.sums("daily_store_sales", selection, lambda row: start(row["business_date"]))
    before = expected.sums(
        "daily_store_sales", selection.previous, lambda row: start(row["business_date"] + timedelta(length))
    )
    names = ("sale_count", "return_count", "units", "refund_amount", "net_amount", "margin_amount")
    assert [point["start"] for point in points] == sorted(point["start"] for point in points)
    assert {*now, *before} <= {point["start"] for point in points}
    for point in points:
        assert numbers(point, names) == values_of(now.get(point["start"]), names)
        previous = values_of(before.get(point["start"]), ("net_amount", "sale_count"))
        assert Decimal(point["previous_net_amount"]) == previous["net_amount"]
        assert point["previous_sale_count"] == previous["sale_count"]


def test_hourly_trend(client: httpx.Client, expected: ExpectedReports, shop: Shop) -> None:
    selection = Selection(shop.tenant, date(2025, 6, 1), date(2025, 6, 30))
    points = get(client, "trend", selection, granularity="hour")["points"]
    hours = expected.sums(
        "hourly_store_sales", selection, lambda row: f"{row['business_date']}T{row['business_hour']:02}:00:00"
    )
    assert len(points) == 30 * 24
    for point in points:
        assert numbers(point, ("sale_count", "net_amount")) == values_of(
            hours.get(point["start"]), ("sale_count", "net_amount")
        )


def test_heatmap(client: httpx.Client, expected: ExpectedReports, selection: Selection) -> None:
    cells = get(client, "heatmap", selection)["cells"]
    sums_by_key = expected.sums(
        "hourly_store_sales", selection, lambda row: (row["business_date"].isoweekday(), row["business_hour"])
    )
    names = ("sale_count", "units", "net_amount")
    assert {(cell["weekday"], cell["hour"]): numbers(cell, names) for cell in cells} == {
        key: values_of(sums, names) for key, sums in sums_by_key.items()
    }


def test_payments(client: httpx.Client, expected: ExpectedReports, selection: Selection) -> None:
    rows = get(client, "payments", selection)["payments"]
    now = expected.sums("daily_payment_sales", selection, lambda row: row["method"])
    before = expected.sums("daily_payment_sales", selection.previous, lambda row: row["method"])
    names = ("payment_count", "refund_count", "payment_amount", "refund_amount")
    assert {row["payment_method"] for row in rows} == {*now, *before}
    for row in rows:
        sums = now.get(row["payment_method"])
        assert numbers(row, names) == values_of(sums, names)
        earlier = values_of(before.get(row["payment_method"]), ("payment_amount", "refund_amount"))
        assert Decimal(row["previous_received_amount"]) == earlier["payment_amount"] - earlier["refund_amount"]


def test_stores(client: httpx.Client, expected: ExpectedReports, selection: Selection, shop: Shop) -> None:
    rows = get(client, "stores", selection, limit=200)["stores"]
    sums_by_key = expected.sums("daily_store_sales", selection, lambda row: row["store_id"])
    names = ("sale_count", "return_count", "units", "gross_amount", "refund_amount", "net_amount", "margin_amount")
    assert sorted(row["store_id"] for row in rows) == shop.stores[shop.tenant], "stores without sales are there too"
    assert all(numbers(row, names) == values_of(sums_by_key.get(row["store_id"]), names) for row in rows)


def net_of(sums: dict[str, Any]) -> Decimal:
    return Decimal(sums["gross_amount"] - sums["discount_amount"] - sums["refund_amount"])


@pytest.mark.parametrize("sort", ["net", "gross", "units", "refunds", "margin"])
def test_top_products(client: httpx.Client, expected: ExpectedReports, selection: Selection, sort: str) -> None:
    document = get(client, "top-products", selection, sort=sort, limit=200)
    now = expected.sums("daily_product_sales", selection, lambda row: row["product_id"])
    before = expected.sums("daily_product_sales", selection.previous, lambda row: row["product_id"])
    rank: dict[str, Any] = {
        "net": net_of,
        "gross": lambda sums: sums["gross_amount"],
        "units": lambda sums: sums["units"],
        "refunds": lambda sums: sums["refund_amount"],
        "margin": lambda sums: net_of(sums) - sums["cost_amount"],
    }
    rows = document["products"]
    assert document["page"]["total_rows"] == len(now) == len(rows)
    ranked = [rank[sort](now[row["product_id"]]) for row in rows]
    assert ranked == sorted(ranked, reverse=True)
    names = ("units", "returned_units", "gross_amount", "refund_amount")
    for row in rows:
        sums = now[row["product_id"]]
        assert numbers(row, names) == values_of(sums, names)
        assert Decimal(row["net_amount"]) == net_of(sums)
        assert Decimal(row["margin_amount"]) == net_of(sums) - sums["cost_amount"]
        earlier = before.get(row["product_id"])
        assert Decimal(row["previous_net_amount"]) == (net_of(earlier) if earlier else ZERO)


def test_top_customers(client: httpx.Client, expected: ExpectedReports, selection: Selection) -> None:
    rows = get(client, "top-customers", selection, sort="sales", limit=200)["customers"]
    now = expected.sums("daily_customer_sales", selection, lambda row: row["customer_id"])
    assert [row["sale_count"] for row in rows] == sorted((row["sale_count"] for row in rows), reverse=True)
    actual = {row["customer_id"]: (row["sale_count"], Decimal(row["net_amount"])) for row in rows}
    assert actual == {key: (sums["sale_count"], sums["net_amount"]) for key, sums in now.items()}


def test_product_groups(client: httpx.Client, expected: ExpectedReports, selection: Selection, shop: Shop) -> None:
    rows = get(client, "product-groups", selection)["product_groups"]
    group_of = dict(shop.query("SELECT id, product_group_id FROM retail.products"))
    now = expected.sums("daily_product_sales", selection, lambda row: group_of.get(row["product_id"]))
    before = expected.sums("daily_product_sales", selection.previous, lambda row: group_of.get(row["product_id"]))
    assert {row["product_group_id"] for row in rows} == {*now, *before}
    for row in rows:
        sums, earlier = now.get(row["product_group_id"]), before.get(row["product_group_id"])
        assert Decimal(row["net_amount"]) == (net_of(sums) if sums else ZERO)
        assert Decimal(row["previous_net_amount"]) == (net_of(earlier) if earlier else ZERO)


def test_overview_agrees_with_the_single_reports(client: httpx.Client, selection: Selection) -> None:
    overview = get(client, "overview", selection)
    summary = get(client, "sales-summary", selection)
    assert {name: overview[name] for name in ("totals", "previous_totals", "change")} == {
        name: summary[name] for name in ("totals", "previous_totals", "change")
    }
    assert overview["products"] == get(client, "top-products", selection)["products"]
    assert overview["points"] == get(client, "trend", selection, granularity=overview["granularity"])["points"]
    for name, report in (("product_groups", "product-groups"), ("payments", "payments"), ("cells", "heatmap")):
        assert overview[name] == get(client, report, selection)[name]
    returned = get(client, "top-products", selection, sort="refunds", limit=5)["products"]
    assert overview["returned_products"] == [row for row in returned if Decimal(row["refund_amount"])]


def test_default_period_ends_with_the_last_sales(client: httpx.Client, shop: Shop) -> None:
    period = client.get("/api/dashboard/sales-summary").json()["period"]
    assert period["days"] == 30
    assert period["to"] == client.get("/api/dashboard/overview").json()["last_date"]
