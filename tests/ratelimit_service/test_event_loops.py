"""One async limiter in many event loops: at once in threads, one after another, ended without a word."""

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import redis.asyncio

from ratelimit_service import AsyncLimiter, Policy, PolicySet
from tests.ratelimit_service.conftest import PATIENT
from tests.servers import redis_servers

THREADS = 8
POLICIES = PolicySet([Policy.parse("all", "1500/day"), Policy.parse("other", "1/day")])


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with redis_servers.cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


def single(server: redis_servers.Server) -> redis.asyncio.Redis:
    return redis.asyncio.Redis(port=server.port)


def count_in_threads(limiter: AsyncLimiter, rounds: int, at_once: int) -> int:
    """How many of THREADS x rounds x at_once checks pass; each round has a new loop, as in an async view under WSGI."""
    start = threading.Barrier(THREADS)

    async def some() -> int:
        decisions = await asyncio.gather(*(limiter.check("all", "hot") for _ in range(at_once)))
        assert not any(decision.degraded for decision in decisions)
        return sum(decision.allowed for decision in decisions)

    def thread(_: int) -> int:
        start.wait()
        return sum(asyncio.run(some()) for _ in range(rounds))

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(thread, range(THREADS)))


@pytest.mark.parametrize(("rounds", "at_once"), [(1, 500), (10, 50), (100, 5)])
def test_of_4000_checks_in_8_threads_exactly_1500_pass(server, rounds, at_once):
    limiter = AsyncLimiter(single(server), POLICIES, PATIENT)
    assert count_in_threads(limiter, rounds, at_once) == 1500


def test_so_they_do_on_a_cluster(nodes):
    client = redis.asyncio.RedisCluster(host="127.0.0.1", port=nodes[0].port)
    assert count_in_threads(AsyncLimiter(client, POLICIES, PATIENT), 10, 25) == 1500


def in_runner(work: Callable[[], Coroutine]) -> None:
    asyncio.run(work())


def in_plain_loop(work: Callable[[], Coroutine]) -> None:
    """Closed with neither its tasks nor its generators ended."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work())
    finally:
        loop.close()


def test_a_loop_that_ends_closes_its_connections(server):
    limiter = AsyncLimiter(single(server), POLICIES, PATIENT)

    async def check() -> None:
        assert not (await limiter.check("all", "k")).degraded

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.disable()
    try:
        in_runner(check)
        before = open_files()
        for _ in range(20):
            in_runner(check)
        assert open_files() <= before
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_loop_closed_with_calls_under_way_leaves_the_limiter_usable(server):
    limiter = AsyncLimiter(single(server), POLICIES, PATIENT)

    async def leave() -> None:
        limiter.install(POLICIES)
        await limiter.check("all", "k")
        asyncio.ensure_future(limiter.check("all", "k"))  # noqa: RUF006
        await asyncio.sleep(0)

    async def check() -> None:
        assert not (await limiter.check("other", "k")).degraded

    for run in (in_plain_loop, in_runner):
        run(leave)
        run(check)
    gc.collect()
