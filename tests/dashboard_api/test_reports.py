"""Every report says what plain SQL over the application's tables says."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.dashboard_api.conftest import LAST_DAY, Shop
from tests.dashboard_api.truth import ZERO, Question, Truth

MEASURES = ("sale_count", "return_count", "units", "returned_units", "gross_amount", "discount_amount", "tax_amount")
MEASURES += ("refund_amount", "cost_amount", "net_amount", "margin_amount")


@pytest.fixture(scope="module")
def truth(shop: Shop) -> Truth:
    return Truth(shop)


PERIODS = {
    "a day": (LAST_DAY, LAST_DAY),
    "thirty days": (date(2025, 5, 20), date(2025, 6, 18)),
    "one whole month": (date(2025, 2, 1), date(2025, 2, 28)),
    "months and both edges": (date(2024, 11, 17), date(2025, 3, 3)),
    "more than there is": (date(2023, 7, 1), date(2025, 12, 31)),
    "before the first sale": (date(2019, 1, 1), date(2019, 3, 31)),
}


@pytest.fixture(params=PERIODS, ids=lambda name: name.replace(" ", "-"))
def asked(request: pytest.FixtureRequest, shop: Shop) -> Question:
    return Question(shop.tenant, *PERIODS[request.param])


@pytest.fixture
def of_two_stores(shop: Shop) -> Question:
    return Question(shop.tenant, date(2025, 1, 10), date(2025, 4, 20), tuple(shop.stores[shop.tenant][:2]))


def get(client: httpx.Client, report: str, asked: Question, **more: Any) -> dict[str, Any]:
    response = client.get(f"/api/dashboard/{report}", params={**asked.parameters(), **more})
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    assert document["period"] == {
        "from": str(asked.first),
        "to": str(asked.last),
        "days": (asked.last - asked.first).days + 1,
    }
    assert document["previous_period"]["to"] == str(asked.first - timedelta(1))
    return document


def numbers(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Decimal]:
    assert all(isinstance(row[name], str) for name in names if name.endswith("_amount")), "money is text"
    return {name: Decimal(row[name]) for name in names}


def expected(sums: dict[str, Any] | None, names: tuple[str, ...]) -> dict[str, Decimal]:
    return {name: Decimal(sums[name]) if sums else ZERO for name in names}


def check_summary(document: dict[str, Any], truth: Truth, asked: Question) -> None:
    for which, question in (("totals", asked), ("previous_totals", asked.previous)):
        sums = truth.sums("daily_store_sales", question, lambda row: "all").get("all")
        totals = document[which]
        assert numbers(totals, MEASURES) == expected(sums, MEASURES)
        customers = truth.sums("daily_customer_sales", question, lambda row: row["customer_id"])
        assert totals["unique_customers"] == sum(found["sale_count"] > 0 for found in customers.values())
        assert totals["repeat_customers"] == sum(found["sale_count"] > 1 for found in customers.values())
        sold = sums["gross_amount"] - sums["discount_amount"] if sums else ZERO
        if sold:
            assert sums is not None
            assert Decimal(totals["average_order_value"]) == (sold / sums["sale_count"]).quantize(Decimal("0.01"))
            assert Decimal(totals["return_rate"]) == (sums["refund_amount"] / sold).quantize(Decimal("0.0001"))
        else:
            assert totals["average_order_value"] is None


def test_summary(client: httpx.Client, truth: Truth, asked: Question) -> None:
    document = get(client, "sales-summary", asked)
    check_summary(document, truth, asked)
    by_day = truth.sums("daily_store_sales", asked, lambda row: str(row["business_date"]))
    assert len(document["days"]) == document["period"]["days"], "days without sales are there too"
    for day in document["days"]:
        assert numbers(day, MEASURES) == expected(by_day.get(day["date"]), MEASURES)


def test_summary_of_some_stores(client: httpx.Client, truth: Truth, of_two_stores: Question) -> None:
    document = get(client, "sales-summary", of_two_stores)
    check_summary(document, truth, of_two_stores)
    assert document["totals"]["sale_count"] > 0


def test_change_is_relative_to_the_previous_period(client: httpx.Client, of_two_stores: Question) -> None:
    document = get(client, "sales-summary", of_two_stores)
    now, before = (Decimal(document[name]["net_amount"]) for name in ("totals", "previous_totals"))
    assert Decimal(document["change"]["net_amount"]) == ((now - before) / abs(before)).quantize(Decimal("0.0001"))


@pytest.mark.parametrize("granularity", ["day", "week", "month"])
def test_trend(client: httpx.Client, truth: Truth, asked: Question, granularity: str) -> None:
    points = get(client, "trend", asked, granularity=granularity)["points"]
    length = (asked.last - asked.first).days + 1

    def start(day: date) -> str:
        begins = {"day": day, "week": day - timedelta(day.weekday()), "month": day.replace(day=1)}[granularity]
        return str(max(begins, asked.first))

    now = truth.sums("daily_store_sales", asked, lambda row: start(row["business_date"]))
    before = truth.sums(
        "daily_store_sales", asked.previous, lambda row: start(row["business_date"] + timedelta(length))
    )
    names = ("sale_count", "return_count", "units", "refund_amount", "net_amount", "margin_amount")
    assert [point["start"] for point in points] == sorted(point["start"] for point in points)
    assert {*now, *before} <= {point["start"] for point in points}
    for point in points:
        assert numbers(point, names) == expected(now.get(point["start"]), names)
        wanted = expected(before.get(point["start"]), ("net_amount", "sale_count"))
        assert Decimal(point["previous_net_amount"]) == wanted["net_amount"]
        assert point["previous_sale_count"] == wanted["sale_count"]


def test_hourly_trend(client: httpx.Client, truth: Truth, shop: Shop) -> None:
    asked = Question(shop.tenant, date(2025, 6, 1), date(2025, 6, 30))
    points = get(client, "trend", asked, granularity="hour")["points"]
    hours = truth.sums(
        "hourly_store_sales", asked, lambda row: f"{row['business_date']}T{row['business_hour']:02}:00:00"
    )
    assert len(points) == 30 * 24
    for point in points:
        assert numbers(point, ("sale_count", "net_amount")) == expected(
            hours.get(point["start"]), ("sale_count", "net_amount")
        )


def test_heatmap(client: httpx.Client, truth: Truth, asked: Question) -> None:
    cells = get(client, "heatmap", asked)["cells"]
    wanted = truth.sums(
        "hourly_store_sales", asked, lambda row: (row["business_date"].isoweekday(), row["business_hour"])
    )
    names = ("sale_count", "units", "net_amount")
    assert {(cell["weekday"], cell["hour"]): numbers(cell, names) for cell in cells} == {
        key: expected(sums, names) for key, sums in wanted.items()
    }


def test_payments(client: httpx.Client, truth: Truth, asked: Question) -> None:
    rows = get(client, "payments", asked)["payments"]
    now = truth.sums("daily_payment_sales", asked, lambda row: row["method"])
    before = truth.sums("daily_payment_sales", asked.previous, lambda row: row["method"])
    names = ("payment_count", "refund_count", "payment_amount", "refund_amount")
    assert {row["payment_method"] for row in rows} == {*now, *before}
    for row in rows:
        sums = now.get(row["payment_method"])
        assert numbers(row, names) == expected(sums, names)
        earlier = expected(before.get(row["payment_method"]), ("payment_amount", "refund_amount"))
        assert Decimal(row["previous_received_amount"]) == earlier["payment_amount"] - earlier["refund_amount"]


def test_stores(client: httpx.Client, truth: Truth, asked: Question, shop: Shop) -> None:
    rows = get(client, "stores", asked, limit=200)["stores"]
    wanted = truth.sums("daily_store_sales", asked, lambda row: row["store_id"])
    names = ("sale_count", "return_count", "units", "gross_amount", "refund_amount", "net_amount", "margin_amount")
    assert sorted(row["store_id"] for row in rows) == shop.stores[shop.tenant], "stores without sales are there too"
    assert all(numbers(row, names) == expected(wanted.get(row["store_id"]), names) for row in rows)


def net_of(sums: dict[str, Any]) -> Decimal:
    return Decimal(sums["gross_amount"] - sums["discount_amount"] - sums["refund_amount"])


@pytest.mark.parametrize("sort", ["net", "gross", "units", "refunds", "margin"])
def test_top_products(client: httpx.Client, truth: Truth, asked: Question, sort: str) -> None:
    document = get(client, "top-products", asked, sort=sort, limit=200)
    now = truth.sums("daily_product_sales", asked, lambda row: row["product_id"])
    before = truth.sums("daily_product_sales", asked.previous, lambda row: row["product_id"])
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
        assert numbers(row, names) == expected(sums, names)
        assert Decimal(row["net_amount"]) == net_of(sums)
        assert Decimal(row["margin_amount"]) == net_of(sums) - sums["cost_amount"]
        earlier = before.get(row["product_id"])
        assert Decimal(row["previous_net_amount"]) == (net_of(earlier) if earlier else ZERO)


def test_top_customers(client: httpx.Client, truth: Truth, asked: Question) -> None:
    rows = get(client, "top-customers", asked, sort="sales", limit=200)["customers"]
    now = truth.sums("daily_customer_sales", asked, lambda row: row["customer_id"])
    assert [row["sale_count"] for row in rows] == sorted((row["sale_count"] for row in rows), reverse=True)
    found = {row["customer_id"]: (row["sale_count"], Decimal(row["net_amount"])) for row in rows}
    assert found == {key: (sums["sale_count"], sums["net_amount"]) for key, sums in now.items()}


def test_product_groups(client: httpx.Client, truth: Truth, asked: Question, shop: Shop) -> None:
    rows = get(client, "product-groups", asked)["product_groups"]
    group_of = dict(shop.query("SELECT id, product_group_id FROM retail.products"))
    now = truth.sums("daily_product_sales", asked, lambda row: group_of.get(row["product_id"]))
    before = truth.sums("daily_product_sales", asked.previous, lambda row: group_of.get(row["product_id"]))
    assert {row["product_group_id"] for row in rows} == {*now, *before}
    for row in rows:
        sums, earlier = now.get(row["product_group_id"]), before.get(row["product_group_id"])
        assert Decimal(row["net_amount"]) == (net_of(sums) if sums else ZERO)
        assert Decimal(row["previous_net_amount"]) == (net_of(earlier) if earlier else ZERO)


def test_overview_agrees_with_the_single_reports(client: httpx.Client, asked: Question) -> None:
    overview = get(client, "overview", asked)
    summary = get(client, "sales-summary", asked)
    assert {name: overview[name] for name in ("totals", "previous_totals", "change")} == {
        name: summary[name] for name in ("totals", "previous_totals", "change")
    }
    assert overview["products"] == get(client, "top-products", asked)["products"]
    assert overview["points"] == get(client, "trend", asked, granularity=overview["granularity"])["points"]
    for name, report in (("product_groups", "product-groups"), ("payments", "payments"), ("cells", "heatmap")):
        assert overview[name] == get(client, report, asked)[name]
    returned = get(client, "top-products", asked, sort="refunds", limit=5)["products"]
    assert overview["returned_products"] == [row for row in returned if Decimal(row["refund_amount"])]


def test_default_period_ends_with_the_last_sales(client: httpx.Client, shop: Shop) -> None:
    period = client.get("/api/dashboard/sales-summary").json()["period"]
    assert period["days"] == 30
    assert period["to"] == client.get("/api/dashboard/overview").json()["last_date"]
