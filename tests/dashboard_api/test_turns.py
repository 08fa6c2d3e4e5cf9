"""What happens when more is asked than can be read at once: in turn, within a bounded time, no tenant before all others."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from dashboard_api.errors import NotReadyError
from dashboard_api.turns import Turns
from dbconnect import Settings
from local_stack.waiting import wait_until
from tests.dashboard_api.conftest import LAST_DAY, Shop
from tests.dashboard_api.serving import serve, token_for

SUMMARY = "/api/dashboard/sales-summary"


async def test_tenants_take_turns() -> None:
    turns = Turns(1, wait_s=60)
    order: list[int] = []

    async def ask(tenant_key: int) -> None:
        async with turns.turn(tenant_key):
            order.append(tenant_key)
            await asyncio.sleep(0)

    async with turns.turn(0):
        asking = [asyncio.create_task(ask(tenant_key)) for tenant_key in (1, 1, 1, 1, 2, 3, 3)]
        await asyncio.sleep(0)
        assert turns.waiting == 7
        assert order == []
    await asyncio.gather(*asking)
    assert order == [1, 2, 3, 1, 3, 1, 1]
    assert turns.waiting == 0


async def test_no_more_than_the_slots_at_a_time() -> None:
    turns = Turns(3, wait_s=60)
    inside, most = 0, 0

    async def ask(tenant_key: int) -> None:
        nonlocal inside, most
        async with turns.turn(tenant_key):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(ask(number % 5) for number in range(100)))
    assert most == 3


async def test_a_wait_ends_with_a_refusal_and_its_turn_goes_to_the_next() -> None:
    turns = Turns(1, wait_s=0.01)
    async with turns.turn(1):
        with pytest.raises(NotReadyError, match="too many") as refused:
            async with turns.turn(2):
                pytest.fail("two at a time")
    assert int(refused.value.headers["Retry-After"]) >= 1
    async with turns.turn(3):
        assert turns.waiting == 0


async def test_a_turn_that_comes_to_someone_who_left_is_not_lost() -> None:
    turns = Turns(1, wait_s=60)

    async def ask() -> None:
        async with turns.turn(1):
            pytest.fail("it was cancelled")

    async with turns.turn(0):
        leaving = asyncio.create_task(ask())
        await asyncio.sleep(0)
        late = asyncio.create_task(ask())
        await asyncio.sleep(0)
        leaving.cancel()
    # The block's end gave the turn to `late`, which is cancelled before it can take it.
    late.cancel()
    await asyncio.gather(leaving, late, return_exceptions=True)
    async with turns.turn(2):
        assert turns.waiting == 0


def test_a_burst_of_different_questions_waits_for_turns_and_not_for_connections(
    api_settings: Callable[..., Settings], shop: Shop
) -> None:
    """Whose wait is short: it tells of an outage, and would refuse most of them."""
    settings = api_settings(dashboard_pool_size=3, dashboard_queue_seconds=120)
    token = token_for(shop.tenant)
    days = [(LAST_DAY - timedelta(days=number)).isoformat() for number in range(300)]
    with serve(settings) as api, ThreadPoolExecutor(100) as threads:

        def ask(day: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return httpx.get(api.url + SUMMARY, params={"to": day}, headers=headers, timeout=120).status_code

        asking = [threads.submit(ask, day) for day in days]
        questions, reads = [0], [0]

        def has_ended() -> bool:
            reading = api.services.reading()
            questions.append(reading.questions_waiting)
            reads.append(reading.router.pools["replica"].waiting)
            return all(asked.done() for asked in asking)

        wait_until(has_ended, timeout_s=180, what="every answer", every_s=0.01)
        assert [asked.result() for asked in asking] == [200] * 300
        assert api.metric("salespulse_answer_cache_lookups_total", outcome="miss") == 300
        assert max(questions) > 3
        assert max(reads) <= 4, "those that have a turn, the watch on the figures, a look-up of tenants"
