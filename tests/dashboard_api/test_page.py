"""The page in a real browser: its numbers are the application's, nothing is loaded from elsewhere, every state is intended."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dbconnect import Settings
from tests.dashboard_api.browser import CHROMIUM, CONTRAST, DESKTOP, PATIENT_MS, PHONE, Visit, keep_screenshot
from tests.dashboard_api.conftest import EMPTY_TENANT, Shop
from tests.dashboard_api.expected_reports import ZERO, ExpectedReports, Selection
from tests.dashboard_api.server import serve, token_for

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: tests/install-debian-packages has it")


def number(text: str) -> Decimal:
    return Decimal(re.sub(r"[^0-9.\-]", "", text))


def tile_value(page: Page, tile: str) -> Decimal:
    return number(page.locator(f".tile[data-name={tile}] .value").inner_text())


def test_numbers_equal_sql(visit: Callable[..., Visit], shop: Shop) -> None:
    expected = ExpectedReports(shop)
    page = visit().figures(token_for(shop.tenant, currency="GBP"))
    period = page.evaluate("() => [document.getElementById('from').value, document.getElementById('to').value]")
    selection = Selection(shop.tenant, *(date.fromisoformat(day) for day in period))
    sums = expected.sums("daily_store_sales", selection, lambda row: "all")["all"]
    cent = Decimal("0.01")
    assert tile_value(page, "net_amount") == sums["net_amount"].quantize(cent)
    assert tile_value(page, "sale_count") == sums["sale_count"]
    assert tile_value(page, "units") == sums["units"]
    assert tile_value(page, "margin_amount") == sums["margin_amount"].quantize(cent)
    after_discount = sums["gross_amount"] - sums["discount_amount"]
    assert tile_value(page, "average_order_value") == (after_discount / sums["sale_count"]).quantize(cent)
    assert tile_value(page, "return_rate") == (sums["refund_amount"] / after_discount * 100).quantize(Decimal("0.1"))
    customers = expected.sums("daily_customer_sales", selection, lambda row: row["customer_id"])
    assert tile_value(page, "unique_customers") == sum(sums_["sale_count"] > 0 for sums_ in customers.values())
    assert page.locator(".tile[data-name=net_amount] .value").inner_text().startswith("£")

    products = expected.sums("daily_product_sales", selection, lambda row: row["product_id"])
    ranked = sorted(
        (s["gross_amount"] - s["discount_amount"] - s["refund_amount"] for s in products.values()), reverse=True
    )
    amounts = [number(text) for text in page.locator("#products .amount").all_inner_texts()]
    assert amounts == [amount.quantize(cent) for amount in ranked[:10]]
    payments = expected.sums("daily_payment_sales", selection, lambda row: row["method"])
    received = sorted((s["payment_amount"] - s["refund_amount"] for s in payments.values()), reverse=True)
    assert [number(text) for text in page.locator("#payments .amount").all_inner_texts()] == [
        amount.quantize(cent) for amount in received
    ]

    page.get_by_role("button", name="Table").first.click()
    cells = page.locator("#trend-table tbody tr td:nth-child(2)").all_inner_texts()
    by_day = expected.sums("daily_store_sales", selection, lambda row: row["business_date"])
    days = [by_day.get(day, {"net_amount": ZERO})["net_amount"].quantize(cent) for day in sorted(day_range(selection))]
    assert [number(text) for text in cells] == days


def day_range(selection: Selection) -> list[date]:
    return [selection.first + timedelta(number) for number in range((selection.last - selection.first).days + 1)]


def test_charts_are_drawn(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().figures(token_for(shop.tenant))
    page.wait_for_timeout(500)
    for chart in ("trend", "returns", "heat"):
        expect(page.locator(f"#{chart} canvas").first).to_be_visible()
        colours = page.evaluate(
            "(id) => Math.max(...[...document.querySelectorAll(`#${id} canvas`)].map((c) =>"
            " new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size))",
            chart,
        )
        assert colours > 20, f"{chart} is blank"
        assert len(page.locator(f"#{chart}").get_attribute("aria-label") or "") > 30


def test_it_updates_by_itself_without_flicker(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().figures(token_for(shop.tenant), "/?from=2025-06-01&to=2025-06-30")
    before = tile_value(page, "sale_count")
    page.evaluate(
        "() => { window.removed = 0; window.tile = document.querySelector('[data-name=sale_count]');"
        " new MutationObserver((all) => all.forEach((m) => m.removedNodes.forEach((n) => {"
        " if (n.nodeType === 1 && (n.matches('.tile, canvas, ol') )) window.removed += 1; })))"
        ".observe(document.getElementById('main'), { childList: true, subtree: true }); }"
    )
    shop.sell(shop.tenant, "seen-live")
    shop.refresh()
    expect(page.locator(".tile[data-name=sale_count] .value")).to_have_text(f"{before + 1:,}", timeout=PATIENT_MS)
    assert page.evaluate("() => window.tile.isConnected && window.removed === 0"), "the same elements, changed in place"


def test_period_and_store_are_chosen_and_kept_in_the_address(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().figures(token_for(shop.tenant))
    whole = tile_value(page, "sale_count")
    with page.expect_response(lambda response: "/overview" in response.url and "from=" in response.url):
        page.get_by_role("button", name="90 days").click()
    expect(page.get_by_role("button", name="90 days")).to_have_attribute("aria-pressed", "true")
    assert tile_value(page, "sale_count") > whole
    store = shop.stores[shop.tenant][0]
    with page.expect_response(lambda response: store in response.url):
        page.locator("#store").select_option(store)
    expect(page.locator(".tile[data-name=sale_count] .value")).not_to_have_text("", timeout=PATIENT_MS)
    assert f"store={store}" in page.url
    page.reload()
    expect(page.locator("#store")).to_have_value(store)


def test_the_token_leaves_the_address_at_once(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().figures(token_for(shop.tenant))
    assert "token" not in page.url
    assert page.evaluate("() => [localStorage.length, document.cookie]") == [0, ""]
    page.reload()
    expect(page.locator("body[data-view=figures]")).to_be_attached()


def test_without_a_token_it_says_how_to_get_in(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().open(None)
    expect(page.get_by_role("heading", name="Your sales, as they happen")).to_be_visible()
    page.get_by_label("Access token").fill(token_for(shop.tenant))
    page.get_by_role("button", name="Show the dashboard").press("Enter")
    expect(page.locator(".tile .value").first).to_be_visible()


def test_an_ended_session_says_so(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().open(token_for(shop.tenant, valid_s=-60))
    expect(page.get_by_role("heading", name="Your session has ended")).to_be_visible()


def test_an_empty_shop_is_welcomed(visit: Callable[..., Visit]) -> None:
    page = visit().open(token_for(EMPTY_TENANT))
    expect(page.get_by_role("heading", name="No sales yet")).to_be_visible()
    expect(page.locator("#fresh-text")).to_contain_text("Live")


def test_a_period_without_sales_says_so(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().figures(token_for(shop.tenant), "/?from=2015-01-01&to=2015-01-31")
    expect(page.locator("#products")).to_contain_text("No sales in this period.")
    assert tile_value(page, "sale_count") == 0


def test_429_is_shown_kindly_and_ends_by_itself(
    visit: Callable[..., Visit], api_settings: Callable[..., Settings], shop: Shop, tmp_path: Path
) -> None:
    policies = tmp_path / "policies.toml"
    # Fewer than an open page asks by itself (every 5 s), so that it comes to that on a busy machine too.
    policies.write_text('[policies.default]\nlimits = ["2/15s fixed"]\n')
    with serve(api_settings(ratelimit_policies=policies)) as tight:
        page = visit(of=tight).figures(token_for(shop.tenant, subject="impatient"))
        for name in ("7 days", "90 days", "12 months"):
            page.get_by_role("button", name=name).click()
        notice = page.get_by_role("alert")
        expect(notice).to_contain_text("One moment, please.", timeout=3 * PATIENT_MS)
        assert page.locator(".tile .value").first.inner_text()
        expect(page.locator("#fresh-text")).to_contain_text(re.compile(r"Retry in \d+ s"))
        expect(notice).to_be_hidden(timeout=3 * PATIENT_MS)


def test_a_lost_connection_keeps_the_figures(visit: Callable[..., Visit], shop: Shop) -> None:
    here = visit()
    page = here.figures(token_for(shop.tenant))
    here.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("No connection.")
    expect(page.locator(".tile .value").first).to_be_visible()
    here.context.set_offline(False)
    page.get_by_role("button", name="Try now").click()
    expect(page.get_by_role("alert")).to_be_hidden(timeout=PATIENT_MS)


def test_a_selection_that_can_not_be_shown_offers_a_way_out(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().open(token_for(shop.tenant), "/?store=gone")
    expect(page.get_by_role("alert")).to_contain_text("no store 'gone'")
    page.get_by_role("button", name="Reset").click()
    expect(page.locator(".tile .value").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_and_can_be_read(
    visit: Callable[..., Visit],
    shop: Shop,
    scheme: str,
    device: dict[str, Any],
) -> None:
    page = visit(color_scheme=scheme, reduced_motion="reduce", **device).figures(token_for(shop.tenant, currency="GBP"))
    assert page.evaluate("() => document.documentElement.dataset.theme") == scheme
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "nothing scrolls sideways"
    clipped = page.evaluate(
        "() => [...document.querySelectorAll('.tile .value, .row .amount, .chip')]"
        ".filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline').map((e) => e.textContent)"
    )
    assert clipped == [], "no figure is cut off"
    low = page.evaluate(CONTRAST)
    assert low == [], "text stands out from its ground (WCAG AA, 4.5 to 1)"
    keep_screenshot(page, f"page-{'phone' if device is PHONE else 'desktop'}-{scheme}")


def test_it_is_usable_with_the_keyboard_alone(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().figures(token_for(shop.tenant))
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the figures"
    page.keyboard.press("Enter")
    focused = []
    for _ in range(16):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("() => document.activeElement.id || document.activeElement.textContent"))
    for name in ("7 days", "from", "to", "store", "Table"):
        assert name in focused, focused
    page.get_by_role("button", name="7 days").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="7 days")).to_have_attribute("aria-pressed", "true")
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "the focus is seen"


def test_csv_is_downloaded(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().figures(token_for(shop.tenant))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    text = Path(download.value.path()).read_text()
    assert text.startswith("date,sale_count,")
    assert text.count("\n") == 31


def test_the_api_page_shows_the_document(visit: Callable[..., Visit]) -> None:
    page = visit().open(None, "/docs")
    expect(page.get_by_text("/api/dashboard/sales-summary", exact=True)).to_be_visible(timeout=PATIENT_MS)
