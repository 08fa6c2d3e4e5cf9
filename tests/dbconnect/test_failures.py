"""Servers that are paused, cut off, killed, frozen, promoted, under reads that are compared with the truth.

Throughout: nothing older than the bound without being marked, nothing older than it says, nothing older than a token, and
no error but `NoFreshServerError`; afterwards everything is as before, without a restart of the router.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psutil
import pytest

from dbconnect import NoFreshServerError, Read, ReadRouter
from dbconnect.replica_guard import GuardLimits
from tests.dbconnect.conftest import DASHBOARD, Heart, Place
from tests.dbconnect.staleness_oracle import Findings, Truth
from tests.servers.postgres import PostgresServer

BOUND_S = 0.8
LIMITS = GuardLimits(max_staleness_s=BOUND_S, check_valid_s=0.8)


@pytest.fixture
def truth(place: Place, heart: Heart) -> Iterator[Truth]:
    it = Truth(place.pair.primary.url("shop"))
    place.pair.wait_for_replay()
    yield it
    it.stop()


@pytest.fixture
def extra(place: Place) -> Iterator[PostgresServer]:
    """A second standby."""
    server = place.pair.add_standby("extra")
    yield server
    place.pair.remove_standby(server)


class Readers:
    """Reads that go on until the block ends, some with tokens."""

    def __init__(self, router: ReadRouter, truth: Truth) -> None:
        self.router = router
        self.truth = truth
        self.findings = Findings()

    async def until(self, condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
        """Return when the condition holds; the readers go on meanwhile."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.findings.ends}, {self.router.state()}"
            await asyncio.sleep(0.01)

    async def until_ends(self, *outcomes: str) -> None:
        """Return when reads have ended in each of these ways since now."""
        before = dict(self.findings.ends)
        await self.until(
            lambda: all(self.findings.ends.get(end, 0) > before.get(end, 0) for end in outcomes),
            f"reads to end {outcomes}",
        )

    async def until_well(self) -> None:
        """Return when ten reads in a row were answered by a replica that is fresh."""
        start, seen = dict(self.findings.ends), 0

        def is_well() -> bool:
            nonlocal start, seen
            now = dict(self.findings.ends)
            if any(now.get(end, 0) != start.get(end, 0) for end in now if end != "fresh"):
                start = now
            return now.get("fresh", 0) >= start.get("fresh", 0) + 10

        await self.until(is_well, "ten fresh reads in a row")

    async def run(self, *, with_token: bool) -> None:
        while True:
            least, token = self.truth.newest() if with_token else (0, None)
            asked_at = time.monotonic()
            try:
                read, number = await self.router.run(_number, max_staleness_s=BOUND_S, token=token)
            except NoFreshServerError as error:
                self.findings.count("refused" if 0 < error.retry_after_s <= 60 else "refused without a time to retry")
            else:
                self.findings.judge(self.truth, read, number, asked_at=asked_at, bound_s=BOUND_S, least=least)
            await asyncio.sleep(0.004)


async def _number(read: Read[Any]) -> tuple[Read[Any], int]:
    row = await (await read.connection.execute("SELECT number FROM salespulse.truth")).fetchone()
    assert row is not None
    return read, row["number"]


@contextlib.asynccontextmanager
async def reading(place: Place, truth: Truth, **changes: Any) -> AsyncIterator[Readers]:
    """Four readers on a router with a small budget; every promise is checked at the end."""
    budget = {"dashboard_fallback_reads_per_second": 20, "dashboard_fallback_burst": 10}
    settings = place.settings(**(budget | changes))
    async with ReadRouter(settings, limits=LIMITS, poll_every_s=0.05) as router:
        readers = Readers(router, truth)
        tasks = [asyncio.create_task(readers.run(with_token=index == 0)) for index in range(4)]
        try:
            await readers.until_well()
            yield readers
            for task in tasks:
                assert not task.done(), task.exception()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    assert readers.findings.broken == []


async def test_a_replica_that_stops_replaying(place: Place, truth: Truth) -> None:
    async with reading(place, truth) as readers:
        await asyncio.to_thread(place.pair.standby.pause_replay)
        await readers.until_ends("fallback", "stale")
        # A read's own snapshot may be past the bound a moment before the watcher's look is.
        await readers.until(lambda: not readers.router.state().servers[0].is_usable, "the ejection")
        await asyncio.to_thread(place.pair.standby.resume_replay)
        await readers.until_well()


async def test_a_replica_whose_receiver_is_cut(place: Place, truth: Truth) -> None:
    standby = place.pair.standby
    async with reading(place, truth) as readers:
        with standby.connect() as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'")
            connection.execute("SELECT pg_reload_conf()")
        await readers.until_ends("fallback", "stale")
        with standby.connect() as connection:
            connection.execute("ALTER SYSTEM RESET primary_conninfo")
            connection.execute("SELECT pg_reload_conf()")
        await readers.until_well()


async def test_a_replica_that_is_killed(place: Place, truth: Truth) -> None:
    async with reading(place, truth) as readers:
        await asyncio.to_thread(place.pair.standby.kill9)
        await readers.until_ends("fallback", "refused")
        assert readers.router.state().servers[0].reason == "unreachable"
        await start(place.pair.standby)
        await readers.until_well()


async def test_a_replica_that_hangs(place: Place, truth: Truth) -> None:
    async with reading(place, truth) as readers:
        with _frozen(place.pair.standby):
            await readers.until_ends("fallback")
            assert readers.router.state().servers[0].reason == "no answer in time"
        await readers.until_well()


async def test_a_primary_that_is_killed(place: Place, truth: Truth) -> None:
    async with reading(place, truth) as readers:
        await asyncio.to_thread(place.pair.primary.kill9)
        await readers.until_ends("stale", "refused")  # refused: the reads with a token
        await start(place.pair.primary)
        await readers.until_well()
        await asyncio.to_thread(place.pair.standby.pause_replay)
        await readers.until_ends("fallback")
        await asyncio.to_thread(place.pair.standby.resume_replay)
        await readers.until_well()


async def test_a_replica_that_is_promoted_is_not_read_while_another_serves(
    place: Place, truth: Truth, extra: PostgresServer
) -> None:
    replicas = [{"name": "extra", "url": place.url(DASHBOARD, extra), "weight": 3}]
    async with reading(place, truth, dashboard_replicas=replicas) as readers:
        assert readers.router.state().servers[1].is_usable
        await asyncio.to_thread(extra.promote)
        await readers.until(lambda: readers.router.state().servers[1].reason == "not in recovery", "the ejection")
        await readers.until_well()
        assert readers.router.state().servers[0].is_usable


async def test_a_failover_is_read_as_stale_within_the_budget(place: Place, truth: Truth) -> None:
    """Last: it leaves the pair without its standby's history, and recreates the standby on the same port."""
    pair = place.pair
    async with reading(place, truth) as readers:
        await asyncio.to_thread(pair.primary.kill9)
        await asyncio.to_thread(pair.standby.promote)
        await readers.until_ends("stale")
        assert readers.router.state().servers[0].reason == "not in recovery"
        await start(pair.primary)
        # Who is the primary is the settings' to say: the former one is back, so the promoted one is not read.
        await readers.until_ends("fallback", "refused")
        await recreate_standby(place)
        await readers.until_well()


async def start(server: PostgresServer) -> None:
    """Start a server. Not in a thread: the kernel ends it with the thread that started it."""
    server.start(wait=False)
    await asyncio.to_thread(server.wait_until_ready)


async def recreate_standby(place: Place) -> None:
    """Recreate the standby on its old port."""
    pair, old = place.pair, place.pair.standby
    await asyncio.to_thread(old.drop_data)
    await asyncio.to_thread(old.cluster.create_standby, pair.primary.cluster, slot="standby")
    pair.standby = pair.standbys[0] = PostgresServer(old.cluster, log=old.log, primary=pair.primary, slot="standby")
    await start(pair.standby)


@contextlib.contextmanager
def _frozen(server: PostgresServer) -> Iterator[None]:
    postmaster = psutil.Process(server._process.pid)
    family = [postmaster, *postmaster.children()]
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in family:
            process.resume()
