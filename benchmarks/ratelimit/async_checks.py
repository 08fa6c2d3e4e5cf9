"""Measure the async limiter under 50 tasks, beside one EVALSHA per check and the peers' async limiters."""

import asyncio
import itertools
from collections.abc import Awaitable

import redis
import redis.asyncio

from benchmarks.ratelimit.floor import SCRIPT, AsyncFloor
from benchmarks.ratelimit.peers import AsyncCheck, async_peers
from benchmarks.ratelimit.policies import PATIENT, POLICIES
from benchmarks.ratelimit.rounds import AsyncWork, Effort, faster, interleave_async, times
from benchmarks.ratelimit.server import free_port
from benchmarks.ratelimit.sync_checks import BATCH, FLOOR, MANY, OURS
from benchmarks.report import Report, figure
from ratelimit_service import AsyncLimiter, CheckRequest

TASKS = 50
_MANY = "check_many of 32"
_LEASE = "lease of 20, a key per task"
_SHARED_LEASE = "lease of 20, one key for all tasks"
_SCENE = "async, 50 tasks"
_OPEN = "async, circuit open: on_outage open"


def by_tasks(check: AsyncCheck, *, units: int = 1) -> AsyncWork:
    """n checks by 50 tasks at a time, each awaiting its own before the next, over 10,000 keys."""
    keys = itertools.cycle([f"user-{number:05}" for number in range(MANY)])

    async def one(count: int) -> None:
        for key in itertools.islice(keys, count):
            await check(key)

    def work(count: int) -> Awaitable[object]:
        return asyncio.gather(*(one(count // (TASKS * units)) for _ in range(TASKS)))

    return work


def by_tasks_with_own_keys(check: AsyncCheck) -> AsyncWork:
    """n checks by 50 tasks at a time, each with a key that no other has."""

    async def one(number: int, count: int) -> None:
        key = f"task-{number:02}"
        for _ in range(count):
            await check(key)

    def work(count: int) -> Awaitable[object]:
        return asyncio.gather(*(one(number, count // TASKS) for number in range(TASKS)))

    return work


def measure_async(report: Report, port: int, effort: Effort) -> None:
    """All figures of the async limiter."""
    asyncio.run(_measure(report, port, effort))
    asyncio.run(_measure_outage(report, effort))


async def _measure(report: Report, port: int, effort: Effort) -> None:
    with redis.Redis(port=port) as client:
        client.flushall()
        sha = client.script_load(SCRIPT)
    shared = redis.asyncio.Redis(port=port)
    async with shared, AsyncLimiter(shared, POLICIES, PATIENT) as limiter:
        floor = AsyncFloor(shared, sha)
        requests = [CheckRequest("one", f"user-{number:05}") for number in range(BATCH)]
        await limiter.check("used_up", "user-hot")
        await limiter.check("used_up", "user-hot")
        peers = async_peers(port)
        contenders = {
            FLOOR: by_tasks(floor.check),
            OURS: by_tasks(lambda key: limiter.check("one", key)),
            f"{OURS}, three limits": by_tasks(lambda key: limiter.check("three", key)),
            _MANY: by_tasks(lambda _: limiter.check_many(requests), units=BATCH),
            "denied key": by_tasks(lambda _: limiter.check("used_up", "user-hot")),
            _LEASE: by_tasks_with_own_keys(lambda key: limiter.check("leased", key)),
            _SHARED_LEASE: by_tasks(lambda _: limiter.check("leased", "user-hot")),
            **{name: by_tasks(check) for name, check in peers.items()},
        }
        times_us = await interleave_async(contenders, effort, unit=TASKS, units={_MANY: TASKS * BATCH})
        report.add(*times(times_us, _SCENE))
        bounds = {OURS: 3.0, _MANY: 5.0, "denied key": 100.0, _LEASE: 10.0}
        others = {name: None for name in times_us if name not in bounds and name != FLOOR}
        report.add(
            *(faster(times_us, _SCENE, name, FLOOR, bound=bound) for name, bound in {**bounds, **others}.items())
        )
        report.add(*(faster(times_us, _SCENE, OURS, peer, bound=1.0) for peer in peers))


async def _measure_outage(report: Report, effort: Effort) -> None:
    async with AsyncLimiter(redis.asyncio.Redis(port=free_port()), POLICIES) as limiter:
        for _ in range(10):
            await limiter.check("open", "user-hot")

        async def work(count: int) -> None:
            for _ in range(count):
                await limiter.check("open", "user-hot")

        assert (await limiter.check("open", "user-hot")).degraded
        times_us = await interleave_async({_OPEN: work}, effort, unit=1)
        report.add(figure(_OPEN, times_us[_OPEN], "µs/check", bound=20))
