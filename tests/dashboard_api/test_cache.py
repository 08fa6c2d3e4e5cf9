"""Answers are made once however many ask, kept within bounds, and never given to another tenant or after a change."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from dashboard_api.answers import Answer
from dashboard_api.cache import GRACE_S, KEEP_S, AnswerCache
from dashboard_api.filters import Format
from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.serving import Api, token_for

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def answer(text: str, *, changed_at: datetime = T0, size: int = 0) -> Answer:
    # Blanks would be compressed to nothing.
    filling = random.Random(size).randbytes(size // 2).hex().encode()
    return Answer("x", text.encode() + filling, Format.JSON, as_of=T0, changed_at=changed_at)


class Maker:
    """Makes answers, counts, and waits at a gate if told to."""

    def __init__(self, text: str = "{}", *, changed_at: datetime = T0, size: int = 0) -> None:
        self.calls = 0
        self.gate: asyncio.Event | None = None
        self.answer = answer(text, changed_at=changed_at, size=size)

    async def __call__(self, wanted: datetime) -> Answer:
        del wanted
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        return self.answer


@pytest.fixture
def lookups() -> Counter:
    return Counter("lookups", "Lookups.", ("outcome",), registry=CollectorRegistry())


@pytest.fixture
def cache(lookups: Counter) -> AnswerCache:
    return AnswerCache(100_000, lookups)


async def test_equal_questions_at_once_are_asked_once(cache: AnswerCache, lookups: Counter) -> None:
    maker = Maker()
    maker.gate = asyncio.Event()
    asking = [asyncio.create_task(cache.get((1, "q"), T0, maker)) for _ in range(100)]
    await asyncio.sleep(0)
    maker.gate.set()
    assert set(await asyncio.gather(*asking)) == {maker.answer}
    assert maker.calls == 1
    assert await cache.get((1, "q"), T0, maker) is maker.answer
    counted = {outcome: lookups.labels(outcome)._value.get() for outcome in ("miss", "joined", "hit")}
    assert counted == {"miss": 1, "joined": 99, "hit": 1}


async def test_tenants_never_share_an_answer(cache: AnswerCache) -> None:
    one, two = Maker("1"), Maker("2")
    assert await cache.get((1, "q"), T0, one) is one.answer
    assert await cache.get((2, "q"), T0, two) is two.answer
    assert await cache.get((1, "q"), T0, two) is one.answer


async def test_a_change_makes_kept_answers_old(cache: AnswerCache) -> None:
    old = Maker("1")
    await cache.get((1, "q"), T0, old)
    new = Maker("2", changed_at=T0 + timedelta(seconds=1))
    assert await cache.get((1, "q"), T0 + timedelta(seconds=1), new) is new.answer


async def test_a_flight_from_before_the_change_is_not_joined(cache: AnswerCache) -> None:
    old = Maker("1")
    old.gate = asyncio.Event()
    first = asyncio.create_task(cache.get((1, "q"), T0, old))
    await asyncio.sleep(0)
    new = Maker("2", changed_at=T0 + timedelta(seconds=1))
    second = asyncio.create_task(cache.get((1, "q"), T0 + timedelta(seconds=1), new))
    await asyncio.sleep(0)
    old.gate.set()
    assert await first is old.answer
    assert await second is new.answer


async def test_an_answer_from_a_server_that_is_behind_is_given_but_asked_again(cache: AnswerCache) -> None:
    behind = Maker("1")
    for _ in range(3):
        assert await cache.get((1, "q"), T0 + timedelta(seconds=1), behind) is behind.answer
    assert behind.calls == 3


async def test_memory_is_bounded_and_the_least_used_go_first(lookups: Counter) -> None:
    cache = AnswerCache(40_000, lookups)
    makers = {number: Maker(str(number), size=4_000) for number in range(10)}
    for number, maker in makers.items():
        await cache.get((1, str(number)), T0, maker)
        await cache.get((1, "0"), T0, makers[0])
    assert cache.size_bytes <= 40_000
    assert 2 <= len(cache) < 10
    assert makers[0].calls == 1, "used all the time, so it stayed"
    await cache.get((1, "1"), T0, makers[1])
    assert makers[1].calls == 2
    huge = Maker("huge", size=100_000)
    await cache.get((1, "huge"), T0, huge)
    assert cache.size_bytes <= 40_000


async def test_whoever_hangs_up_does_not_end_it_for_the_others(cache: AnswerCache) -> None:
    maker = Maker()
    maker.gate = asyncio.Event()
    first, second = (asyncio.create_task(cache.get((1, "q"), T0, maker)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    maker.gate.set()
    assert await second is maker.answer
    assert maker.calls == 1


async def test_a_failure_goes_to_all_who_waited_and_is_not_kept(cache: AnswerCache) -> None:
    fails: list[Callable[[datetime], Awaitable[Answer]]] = []

    async def broken(wanted: datetime) -> Answer:
        del wanted
        fails.append(broken)
        await asyncio.sleep(0)
        message = "the database is away"
        raise ConnectionError(message)

    results = await asyncio.gather(*(cache.get((1, "q"), T0, broken) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError] * 5
    assert len(fails) == 1
    maker = Maker()
    assert await cache.get((1, "q"), T0, maker) is maker.answer


async def test_an_answer_is_made_anew_after_a_while(lookups: Counter) -> None:
    now = [0.0]
    thrown = [1.0, 0.0]
    cache = AnswerCache(100_000, lookups, clock=lambda: now[0], dice=lambda: thrown.pop(0))
    last, first = Maker(), Maker()
    await cache.get((1, "last"), T0, last)
    await cache.get((1, "first"), T0, first)
    over = GRACE_S + 1
    for at, calls in (
        (KEEP_S / 2 - 1, [1, 1]),
        (KEEP_S / 2 + over, [2, 1]),
        (KEEP_S - 1, [2, 1]),
        (KEEP_S + over, [2, 2]),
    ):
        now[0] = at
        thrown[:] = [1.0, 1.0]
        await cache.get((1, "first"), T0, first)
        await cache.get((1, "last"), T0, last)
        assert [first.calls, last.calls] == calls, at


T1, T2 = T0 + timedelta(seconds=1), T0 + timedelta(seconds=2)


class Renewed:
    """A cache whose answer is renewed in the background, on a clock of the test's."""

    def __init__(self, lookups: Counter) -> None:
        self.now = 0.0
        self.cache = AnswerCache(100_000, lookups, clock=lambda: self.now, dice=lambda: 1.0)
        self.old, self.new = Maker("1"), Maker("2", changed_at=T1)
        self.renewing = asyncio.create_task(self.cache.renew())

    async def ask(self, version: datetime = T1) -> Answer:
        return await self.cache.get((1, "q"), version, self.new)

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
async def renewed(lookups: Counter) -> AsyncIterator[Renewed]:
    made = Renewed(lookups)
    await made.cache.get((1, "q"), T0, made.old)
    yield made
    made.renewing.cancel()


async def test_nobody_waits_while_an_outdated_answer_is_renewed(renewed: Renewed, lookups: Counter) -> None:
    renewed.new.gate = asyncio.Event()
    renewed.cache.tell({1: T1, 2: T1})
    renewed.now = GRACE_S - 0.1
    assert await renewed.ask() is renewed.old.answer
    await renewed.settle()
    assert await renewed.ask() is renewed.old.answer
    assert renewed.new.calls == 1
    renewed.new.gate.set()
    await renewed.settle()
    assert await renewed.ask() is renewed.new.answer
    assert renewed.new.calls == 1
    assert lookups.labels("renewing")._value.get() == 2


async def test_an_outdated_answer_is_given_for_a_moment_only(renewed: Renewed) -> None:
    """Of however many changes the first counts."""
    renewed.old.gate = renewed.new.gate = asyncio.Event()
    renewed.cache.tell({1: T1})
    renewed.now = GRACE_S - 0.5
    renewed.cache.tell({1: T2})
    renewed.now = GRACE_S + 0.1
    asking = asyncio.create_task(renewed.ask())
    await renewed.settle()
    assert not asking.done()
    renewed.new.gate.set()
    assert await asking is renewed.new.answer


async def test_an_answer_is_renewed_before_anybody_asks_again(renewed: Renewed) -> None:
    renewed.cache.tell({1: T1})
    await renewed.settle()
    assert renewed.old.calls == 2, "made as it was when it was last asked for"


async def test_several_renewers_share_the_work(renewed: Renewed) -> None:
    others = [asyncio.create_task(renewed.cache.renew()) for _ in range(2)]
    await renewed.settle()
    renewed.cache.tell({1: T1})
    await renewed.settle()
    assert renewed.old.calls == 2
    assert not any(task.done() for task in (renewed.renewing, *others))
    for task in others:
        task.cancel()


async def test_what_nobody_asks_for_any_more_is_not_renewed(renewed: Renewed) -> None:
    renewed.now = KEEP_S - 1
    renewed.cache.tell({1: T1})
    await renewed.settle()
    assert renewed.old.calls == 1
    renewed.now += GRACE_S + 1
    assert await renewed.ask() is renewed.new.answer


async def test_a_server_that_is_behind_is_not_asked_again_and_again(renewed: Renewed) -> None:
    renewed.cache.tell({1: T1})
    await renewed.settle()
    assert renewed.old.calls == 2
    await renewed.settle()
    assert renewed.old.calls == 2
    renewed.now = GRACE_S + 1
    assert await renewed.ask() is renewed.new.answer


async def test_a_renewal_that_fails_leaves_it_to_whoever_asks(renewed: Renewed) -> None:
    async def broken(wanted: datetime) -> Answer:
        del wanted
        message = "the database is away"
        raise ConnectionError(message)

    renewed.cache.tell({1: T1})
    assert await renewed.cache.get((1, "q"), T1, broken) is renewed.old.answer
    await renewed.settle()
    renewed.now = GRACE_S + 0.1
    assert await renewed.ask() is renewed.new.answer
    assert not renewed.renewing.done()


async def test_a_burst_of_equal_reads_costs_one_query(api: Api, shop: Shop) -> None:
    """Over HTTP, 300 at once: the statements run once."""
    made = "salespulse_report_seconds_count"
    before = api.metric(made, report="top-customers")
    headers = {"Authorization": f"Bearer {token_for(shop.tenant)}"}
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=api.url, headers=headers, limits=limits, timeout=30) as client:
        path = "/api/dashboard/top-customers?from=2025-03-03&to=2025-06-29&limit=13"
        answers = await asyncio.gather(*(client.get(path) for _ in range(300)))
    assert {response.status_code for response in answers} == {200}
    assert len({response.headers["etag"] for response in answers}) == 1
    assert api.metric(made, report="top-customers") == before + 1
