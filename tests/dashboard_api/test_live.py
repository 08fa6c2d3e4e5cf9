"""While sales arrive: what an answer says of its moment is true of it, also of one that is given while the next one is being made."""

import threading
from datetime import datetime

import httpx

from local_stack.waiting import wait_until
from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.serving import Api, token_for

SUMMARY = "/api/dashboard/sales-summary"
JUNE = {"from": "2025-06-01", "to": "2025-06-30"}
_SALES = 12


def test_every_answer_has_the_sales_up_to_its_moment(api: Api, shop: Shop) -> None:
    tenant = shop.tenants[2]
    seen: list[tuple[datetime, int]] = []
    committed: list[datetime] = []
    is_over = threading.Event()

    def watch() -> None:
        with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {token_for(tenant)}"}) as client:
            while not is_over.is_set():
                document = client.get(SUMMARY, params=JUNE).json()
                seen.append((datetime.fromisoformat(document["as_of"]), document["totals"]["sale_count"]))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        wait_until(lambda: bool(seen), timeout_s=60, what="the first answer")
        before = seen[0][1]
        renewed = api.metric("salespulse_answer_cache_lookups_total", outcome="renewing")

        def sell() -> bool:
            """Sell once more; enough is sold when an answer was given while the next one was made."""
            shop.sell(tenant, f"live-{len(committed)}")
            committed.append(shop.query("SELECT clock_timestamp()")[0][0])
            shop.refresh()
            is_seen = api.metric("salespulse_answer_cache_lookups_total", outcome="renewing") > renewed
            return is_seen and len(committed) >= _SALES

        wait_until(sell, timeout_s=60, what="an answer to be given while the next one is made")
        wait_until(lambda: seen[-1][1] == before + len(committed), timeout_s=60, what="every sale to show")
    finally:
        is_over.set()
        watching.join(60)
    lies = [(as_of, sales) for as_of, sales in seen if sales < before + sum(moment <= as_of for moment in committed)]
    assert not lies
    assert [sales for _, sales in seen] == sorted(sales for _, sales in seen)
    assert len({sales for _, sales in seen}) > 2, "more than the first and the last state were seen"
