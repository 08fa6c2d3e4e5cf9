"""Answers are made once however many ask, kept within bounds, and never given to another tenant or after a change."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from dashboard_api.cache import GRACE_S, REPORT_KEEP_S, ReportCache
from dashboard_api.filters import Format
from dashboard_api.rendered_report import RenderedReport
from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.server import Api, token_for

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def report(text: str, *, changed_at: datetime = T0, size: int = 0) -> RenderedReport:
    # Blanks would be compressed to nothing.
    filling = random.Random(size).randbytes(size // 2).hex().encode()
    return RenderedReport("x", text.encode() + filling, Format.JSON, as_of=T0, changed_at=changed_at)


class ReportBuilder:
    """Makes answers, counts, and waits at a gate if told to."""

    def __init__(self, text: str = "{}", *, changed_at: datetime = T0, size: int = 0) -> None:
        self.calls = 0
        self.gate: asyncio.Event | None = None
        self.report = report(text, changed_at=changed_at, size=size)

    async def __call__(self, version: datetime) -> RenderedReport:
        del version
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        return self.report


@pytest.fixture
def lookups() -> Counter:
    return Counter("lookups", "Lookups.", ("outcome",), registry=CollectorRegistry())


@pytest.fixture
def cache(lookups: Counter) -> ReportCache:
    return ReportCache(100_000, lookups)


async def test_equal_questions_at_once_are_asked_once(cache: ReportCache, lookups: Counter) -> None:
    builder = ReportBuilder()
    builder.gate = asyncio.Event()
    tasks = [asyncio.create_task(cache.get((1, "q"), T0, builder)) for _ in range(100)]
    await asyncio.sleep(0)
    builder.gate.set()
    assert set(await asyncio.gather(*tasks)) == {builder.report}
    assert builder.calls == 1
    assert await cache.get((1, "q"), T0, builder) is builder.report
    counted = {outcome: lookups.labels(outcome)._value.get() for outcome in ("miss", "joined", "hit")}
    assert counted == {"miss": 1, "joined": 99, "hit": 1}


async def test_tenants_never_share_an_answer(cache: ReportCache) -> None:
    one, two = ReportBuilder("1"), ReportBuilder("2")
    assert await cache.get((1, "q"), T0, one) is one.report
    assert await cache.get((2, "q"), T0, two) is two.report
    assert await cache.get((1, "q"), T0, two) is one.report


async def test_a_change_makes_kept_answers_old(cache: ReportCache) -> None:
    old = ReportBuilder("1")
    await cache.get((1, "q"), T0, old)
    new = ReportBuilder("2", changed_at=T0 + timedelta(seconds=1))
    assert await cache.get((1, "q"), T0 + timedelta(seconds=1), new) is new.report


async def test_a_flight_from_before_the_change_is_not_joined(cache: ReportCache) -> None:
    old = ReportBuilder("1")
    old.gate = asyncio.Event()
    first = asyncio.create_task(cache.get((1, "q"), T0, old))
    await asyncio.sleep(0)
    new = ReportBuilder("2", changed_at=T0 + timedelta(seconds=1))
    second = asyncio.create_task(cache.get((1, "q"), T0 + timedelta(seconds=1), new))
    await asyncio.sleep(0)
    old.gate.set()
    assert await first is old.report
    assert await second is new.report


async def test_an_answer_from_a_server_that_is_behind_is_given_but_asked_again(cache: ReportCache) -> None:
    lagging = ReportBuilder("1")
    for _ in range(3):
        assert await cache.get((1, "q"), T0 + timedelta(seconds=1), lagging) is lagging.report
    assert lagging.calls == 3


async def test_memory_is_bounded_and_the_least_used_go_first(lookups: Counter) -> None:
    cache = ReportCache(40_000, lookups)
    builders = {number: ReportBuilder(str(number), size=4_000) for number in range(10)}
    for number, builder in builders.items():
        await cache.get((1, str(number)), T0, builder)
        await cache.get((1, "0"), T0, builders[0])
    assert cache.size_bytes <= 40_000
    assert 2 <= len(cache) < 10
    assert builders[0].calls == 1, "used all the time, so it stayed"
    await cache.get((1, "1"), T0, builders[1])
    assert builders[1].calls == 2
    huge = ReportBuilder("huge", size=100_000)
    await cache.get((1, "huge"), T0, huge)
    assert cache.size_bytes <= 40_000


async def test_whoever_hangs_up_does_not_end_it_for_the_others(cache: ReportCache) -> None:
    builder = ReportBuilder()
    builder.gate = asyncio.Event()
    first, second = (asyncio.create_task(cache.get((1, "q"), T0, builder)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    builder.gate.set()
    assert await second is builder.report
    assert builder.calls == 1


async def test_a_failure_goes_to_all_who_waited_and_is_not_kept(cache: ReportCache) -> None:
    fails: list[Callable[[datetime], Awaitable[RenderedReport]]] = []

    async def broken(version: datetime) -> RenderedReport:
        del version
        fails.append(broken)
        await asyncio.sleep(0)
        message = "the database is away"
        raise ConnectionError(message)

    results = await asyncio.gather(*(cache.get((1, "q"), T0, broken) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError] * 5
    assert len(fails) == 1
    builder = ReportBuilder()
    assert await cache.get((1, "q"), T0, builder) is builder.report


async def test_an_answer_is_made_anew_after_a_while(lookups: Counter) -> None:
    now = [0.0]
    fractions = [1.0, 0.0]
    cache = ReportCache(100_000, lookups, clock=lambda: now[0], random_fraction=lambda: fractions.pop(0))
    last, first = ReportBuilder(), ReportBuilder()
    await cache.get((1, "last"), T0, last)
    await cache.get((1, "first"), T0, first)
    over = GRACE_S + 1
    for at, calls in (
        (REPORT_KEEP_S / 2 - 1, [1, 1]),
        (REPORT_KEEP_S / 2 + over, [2, 1]),
        (REPORT_KEEP_S - 1, [2, 1]),
        (REPORT_KEEP_S + over, [2, 2]),
    ):
        now[0] = at
        fractions[:] = [1.0, 1.0]
        await cache.get((1, "first"), T0, first)
        await cache.get((1, "last"), T0, last)
        assert [first.calls, last.calls] == calls, at


T1, T2 = T0 + timedelta(seconds=1), T0 + timedelta(seconds=2)


class Renewal:
    """A cache whose answer is renewed in the background, on a clock of the test's."""

    def __init__(self, lookups: Counter) -> None:
        self.now = 0.0
        self.cache = ReportCache(100_000, lookups, clock=lambda: self.now, random_fraction=lambda: 1.0)
        self.old, self.new = ReportBuilder("1"), ReportBuilder("2", changed_at=T1)
        self.task = asyncio.create_task(self.cache.renew())

    async def get(self, version: datetime = T1) -> RenderedReport:
        return await self.cache.get((1, "q"), version, self.new)

    async def tune_garbage_collector(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
async def renewal(lookups: Counter) -> AsyncIterator[Renewal]:
    metric = Renewal(lookups)
    await metric.cache.get((1, "q"), T0, metric.old)
    yield metric
    metric.task.cancel()


async def test_nobody_waits_while_an_outdated_answer_is_renewed(renewal: Renewal, lookups: Counter) -> None:
    renewal.new.gate = asyncio.Event()
    renewal.cache.on_change({1: T1, 2: T1})
    renewal.now = GRACE_S - 0.1
    assert await renewal.get() is renewal.old.report
    await renewal.tune_garbage_collector()
    assert await renewal.get() is renewal.old.report
    assert renewal.new.calls == 1
    renewal.new.gate.set()
    await renewal.tune_garbage_collector()
    assert await renewal.get() is renewal.new.report
    assert renewal.new.calls == 1
    assert lookups.labels("renewing")._value.get() == 2


async def test_an_outdated_answer_is_given_for_a_moment_only(renewal: Renewal) -> None:
    """Of however many changes the first counts."""
    renewal.old.gate = renewal.new.gate = asyncio.Event()
    renewal.cache.on_change({1: T1})
    renewal.now = GRACE_S - 0.5
    renewal.cache.on_change({1: T2})
    renewal.now = GRACE_S + 0.1
    tasks = asyncio.create_task(renewal.get())
    await renewal.tune_garbage_collector()
    assert not tasks.done()
    renewal.new.gate.set()
    assert await tasks is renewal.new.report


async def test_an_answer_is_renewed_before_anybody_asks_again(renewal: Renewal) -> None:
    renewal.cache.on_change({1: T1})
    await renewal.tune_garbage_collector()
    assert renewal.old.calls == 2, "made as it was when it was last asked for"


async def test_several_renewers_share_the_work(renewal: Renewal) -> None:
    others = [asyncio.create_task(renewal.cache.renew()) for _ in range(2)]
    await renewal.tune_garbage_collector()
    renewal.cache.on_change({1: T1})
    await renewal.tune_garbage_collector()
    assert renewal.old.calls == 2
    assert not any(task.done() for task in (renewal.task, *others))
    for task in others:
        task.cancel()


async def test_what_nobody_asks_for_any_more_is_not_renewed(renewal: Renewal) -> None:
    renewal.now = REPORT_KEEP_S - 1
    renewal.cache.on_change({1: T1})
    await renewal.tune_garbage_collector()
    assert renewal.old.calls == 1
    renewal.now += GRACE_S + 1
    assert await renewal.get() is renewal.new.report


async def test_a_server_that_is_behind_is_not_asked_again_and_again(renewal: Renewal) -> None:
    renewal.cache.on_change({1: T1})
    await renewal.tune_garbage_collector()
    assert renewal.old.calls == 2
    await renewal.tune_garbage_collector()
    assert renewal.old.calls == 2
    renewal.now = GRACE_S + 1
    assert await renewal.get() is renewal.new.report


async def test_a_renewal_that_fails_leaves_it_to_whoever_asks(renewal: Renewal) -> None:
    async def broken(version: datetime) -> RenderedReport:
        del version
        message = "the database is away"
        raise ConnectionError(message)

    renewal.cache.on_change({1: T1})
    assert await renewal.cache.get((1, "q"), T1, broken) is renewal.old.report
    await renewal.tune_garbage_collector()
    renewal.now = GRACE_S + 0.1
    assert await renewal.get() is renewal.new.report
    assert not renewal.task.done()


async def test_a_burst_of_equal_reads_costs_one_query(api: Api, shop: Shop) -> None:
    """Over HTTP, 300 at once: the statements run once."""
    metric = "salespulse_report_seconds_count"
    before = api.metric(metric, report="top-customers")
    headers = {"Authorization": f"Bearer {token_for(shop.tenant)}"}
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=api.url, headers=headers, limits=limits, timeout=30) as client:
        path = "/api/dashboard/top-customers?from=2025-03-03&to=2025-06-29&limit=13"
        answers = await asyncio.gather(*(client.get(path) for _ in range(300)))
    assert {response.status_code for response in answers} == {200}
    assert len({response.headers["etag"] for response in answers}) == 1
    assert api.metric(metric, report="top-customers") == before + 1
