"""What happens when more is asked than can be read at once: in turn, within a bounded time, no tenant before all others."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from dashboard_api.errors import NotReadyError
from dashboard_api.report_process.admission import FairQueue
from dbconnect import Settings
from local_stack.waiting import wait_until
from tests.dashboard_api.conftest import LAST_DAY, Shop
from tests.dashboard_api.server import serve, token_for

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
