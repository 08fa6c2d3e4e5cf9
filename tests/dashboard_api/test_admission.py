"""What happens when more is asked than can be read at once: in turn, within a bounded time, no tenant before all others."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from dashboard_api.errors import NotReadyError
from dashboard_api.reports.admission import FairQueue
from dbconnect import Settings
from local_stack.waiting import wait_until
from tests.dashboard_api.conftest import LAST_DAY, Shop
from tests.dashboard_api.server import Api, serve, token_for

SUMMARY = "/api/dashboard/sales-summary"


async def test_tenants_take_turns() -> None:
    queue = FairQueue(1, timeout_s=60)
    order: list[int] = []

    async def request(tenant_key: int) -> None:
        async with queue.slot(tenant_key):
            order.append(tenant_key)
            await asyncio.sleep(0)

    async with queue.slot(0):
        tasks = [asyncio.create_task(request(tenant_key)) for tenant_key in (1, 1, 1, 1, 2, 3, 3)]
        await asyncio.sleep(0)
        assert queue.waiting == 7
        assert order == []
    await asyncio.gather(*tasks)
    assert order == [1, 2, 3, 1, 3, 1, 1]
    assert queue.waiting == 0


async def test_no_more_than_the_slots_at_a_time() -> None:
    queue = FairQueue(3, timeout_s=60)
    inside, max_inside = 0, 0

    async def request(tenant_key: int) -> None:
        nonlocal inside, max_inside
        async with queue.slot(tenant_key):
            inside += 1
            max_inside = max(max_inside, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(request(number % 5) for number in range(100)))
    assert max_inside == 3


async def test_a_wait_ends_with_a_refusal_and_its_turn_goes_to_the_next() -> None:
    queue = FairQueue(1, timeout_s=0.01)
    async with queue.slot(1):
        with pytest.raises(NotReadyError, match="overloaded") as rejection:
            async with queue.slot(2):
                pytest.fail("two at a time")
    assert int(rejection.value.headers["Retry-After"]) >= 1
    async with queue.slot(3):
        assert queue.waiting == 0


async def test_a_turn_that_comes_to_someone_who_left_is_not_lost() -> None:
    queue = FairQueue(1, timeout_s=60)

    async def request() -> None:
        async with queue.slot(1):
            pytest.fail("it was cancelled")

    async with queue.slot(0):
        leaving = asyncio.create_task(request())
        await asyncio.sleep(0)
        cancelled_task = asyncio.create_task(request())
        await asyncio.sleep(0)
        leaving.cancel()
    # The block's end gave the turn to `late`, which is cancelled before it can take it.
    cancelled_task.cancel()
    await asyncio.gather(leaving, cancelled_task, return_exceptions=True)
    async with queue.slot(2):
        assert queue.waiting == 0


def test_a_burst_of_different_questions_waits_for_turns_and_not_for_connections(
    api_settings: Callable[..., Settings], shop: Shop
) -> None:
    """Whose wait is short: it tells of an outage, and would refuse most of them."""
    settings = api_settings(dashboard_pool_size=3, dashboard_queue_seconds=120)
    token = token_for(shop.tenant)
    days = [(LAST_DAY - timedelta(days=number)).isoformat() for number in range(300)]
    with serve(settings) as api, ThreadPoolExecutor(100) as threads:

        def request(day: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return httpx.get(api.url + SUMMARY, params={"to": day}, headers=headers, timeout=120).status_code

        tasks = [threads.submit(request, day) for day in days]
        waiting_counts, pool_waits = [0], [0]

        def has_ended() -> bool:
            snapshot = api.services.snapshot()
            waiting_counts.append(snapshot.requests_waiting)
            pool_waits.append(snapshot.router.pools["replica"].waiting)
            return all(task.done() for task in tasks)

        wait_until(has_ended, timeout_s=180, what="every answer", every_s=0.01)
        assert [task.result() for task in tasks] == [200] * 300
        assert api.metric("salespulse_answer_cache_lookups_total", outcome="miss") == 300
        assert max(waiting_counts) > 3
        assert max(pool_waits) <= 4, "those that have a turn, the watch on the figures, a look-up of tenants"


def test_a_client_that_leaves_takes_nothing_from_the_others(api: Api, shop: Shop) -> None:
    token = token_for(shop.tenant)

    async def leave_and_stay() -> list[int]:
        async with httpx.AsyncClient(
            base_url=api.url, headers={"Authorization": f"Bearer {token}"}, timeout=60
        ) as client:
            params = [{"to": (LAST_DAY - timedelta(days=number)).isoformat()} for number in range(250, 290)]
            tasks = [
                asyncio.create_task(client.get("/api/dashboard/top-customers", params=each)) for each in params * 2
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks[: len(params) // 2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            return [answer.status_code for answer in done if isinstance(answer, httpx.Response)]

    statuses = asyncio.run(leave_and_stay())
    assert len(statuses) >= 40
    assert set(statuses) == {200}


def test_reads_and_pools_are_in_the_metrics(api: Api, shop: Shop) -> None:
    before = api.metric("salespulse_report_reads_total", report="heatmap")
    api.client(token_for(shop.tenant)).get("/api/dashboard/heatmap", params={"to": "2025-02-11"})
    assert api.metric("salespulse_report_reads_total", report="heatmap") == before + 1
    assert api.metric("salespulse_report_seconds_count", report="heatmap") >= 1
    assert api.metric("salespulse_pool_limit", server="replica") == 4, "what the settings give"
    assert api.metric("salespulse_pool_limit", server="primary") == 2
    assert api.metric("salespulse_pool_size", server="replica") <= 4
