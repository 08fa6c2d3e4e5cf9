"""While sales arrive: what an answer says of its moment is true of it, also of one that is given while the next one is being made."""

import threading
from datetime import datetime

import httpx

from local_stack.waiting import wait_until
from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.server import Api, token_for

SUMMARY = "/api/dashboard/sales-summary"
JUNE = {"from": "2025-06-01", "to": "2025-06-30"}
_SALES = 12


def test_every_answer_has_the_sales_up_to_its_moment(api: Api, shop: Shop) -> None:
    tenant = shop.tenants[2]
    responses: list[tuple[datetime, int]] = []
    committed: list[datetime] = []
    is_over = threading.Event()

    def watch() -> None:
        with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {token_for(tenant)}"}) as client:
            while not is_over.is_set():
                document = client.get(SUMMARY, params=JUNE).json()
                responses.append((datetime.fromisoformat(document["as_of"]), document["totals"]["sale_count"]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        wait_until(lambda: bool(responses), timeout_s=60, what="the first answer")
        before = responses[0][1]
        renewing_before = api.metric("salespulse_answer_cache_lookups_total", outcome="renewing")

        def sell() -> bool:
            """Sell once more; enough is sold when an answer was given while the next one was made."""
            shop.sell(tenant, f"live-{len(committed)}")
            committed.append(shop.query("SELECT clock_timestamp()")[0][0])
            shop.refresh()
            is_seen = api.metric("salespulse_answer_cache_lookups_total", outcome="renewing") > renewing_before
            return is_seen and len(committed) >= _SALES

        wait_until(sell, timeout_s=60, what="an answer to be given while the next one is made")
        wait_until(lambda: responses[-1][1] == before + len(committed), timeout_s=60, what="every sale to show")
    finally:
        is_over.set()
        thread.join(60)
    wrong = [
        (as_of, sales) for as_of, sales in responses if sales < before + sum(moment <= as_of for moment in committed)
    ]
    assert not wrong
    assert [sales for _, sales in responses] == sorted(sales for _, sales in responses)
    assert len({sales for _, sales in responses}) > 2, "more than the first and the last state were seen"
