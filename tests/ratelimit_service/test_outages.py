"""Redis slow, stopped, killed, restarted, emptied of scripts, failed over: no exception, no double charge, quick return."""

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
import redis.asyncio

from ratelimit_service import AsyncLimiter, Limiter, Options, Policy, PolicySet, RateLimitedError
from tests.ratelimit_service.conftest import PATIENT
from tests.ratelimit_service.recovery import Clock
from tests.servers import redis_servers

POLICIES = PolicySet(
    [
        Policy.parse("open", "1000/day"),
        Policy.parse("closed", "1000/day", on_outage="closed"),
        Policy.parse("local", "8/day", on_outage="local"),
        Policy.parse("slots", "4 in flight", on_outage="local"),
    ]
)
# A deadline with room for a machine that runs other tests. The clock stands still, so an open circuit stays open.
ROOMY = Options(deadline_s=1.0, breaker_open_s=1.0, instances=2)
THREADS = 8


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limiter(own_server, clock):
    with Limiter(redis.Redis(port=own_server.port), POLICIES, ROOMY, clock=clock) as limiter:
        yield limiter


def recovers(server: redis_servers.Server, limiter: Limiter, clock: Clock) -> int:
    """The number of the probe that was answered, once the server answers at all."""
    redis_servers.until(server.client().ping)
    return next(probe for probe in clock.probes(ROOMY) if not limiter.check("open", "probe").degraded)


async def recovers_async(server: redis_servers.Server, limiter: AsyncLimiter, clock: Clock) -> int:
    """As `recovers`."""
    redis_servers.until(server.client().ping)
    for probe in clock.probes(ROOMY):
        if not (await limiter.check("open", "probe")).degraded:
            return probe
    raise AssertionError


def test_a_stopped_redis_costs_at_most_deadlines_then_nothing(own_server, limiter, clock):
    assert not limiter.check("open", "k").degraded
    own_server.signal(signal.SIGSTOP)
    started_s = time.monotonic()
    with ThreadPoolExecutor(THREADS) as threads:
        decisions = list(threads.map(lambda _: limiter.check("open", "k"), range(200)))
    assert time.monotonic() - started_s < 5 * ROOMY.deadline_s
    assert all(decision.allowed and decision.degraded for decision in decisions)
    assert not limiter.check("closed", "k")
    assert limiter.check("closed", "k").retry_after_s == 1.0
    assert sum(limiter.check("local", "k").allowed for _ in range(10)) == 4, "8 units, 2 instances"
    with limiter.slot("slots", "k"), limiter.slot("slots", "k"), pytest.raises(RateLimitedError):
        limiter.take_slot("slots", "k")
    with limiter.slot("slots", "k"):
        pass
    assert limiter.refund("open", "k") == 0
    assert not limiter.reset("open", "k")
    own_server.signal(signal.SIGCONT)
    assert recovers(own_server, limiter, clock) == 1
    # What Redis had received while it was stopped it charges once each, and nothing is sent again: one check before, and
    # those of all threads with the two whose failures did not yet open the circuit.
    assert 1000 - limiter.peek("open", "k").remaining <= 1 + THREADS + 2


def test_killed_and_restarted(own_server, limiter, clock):
    limiter.check("open", "k")
    own_server.kill()
    decisions = [limiter.check("open", "k") for _ in range(100)]
    assert all(decision.allowed and decision.degraded for decision in decisions)
    own_server.start()
    assert recovers(own_server, limiter, clock) == 1
    assert limiter.check("open", "fresh").remaining == 999


def test_a_connection_that_broke_is_not_retried(own_server, limiter, clock):
    """The client given retries by default; the limiter may not: the check may have been charged."""
    for _ in range(20):
        limiter.check("open", "k")
        own_server.client().client_kill_filter(_type="normal", skipme=True)
    failed = limiter.metrics.redis_failures.value
    recovers(own_server, limiter, clock)
    assert 20 - failed <= 1000 - limiter.peek("open", "k").remaining <= 20


def test_script_flush_charges_once(own_server, limiter):
    for number in range(10):
        own_server.client().script_flush()
        decision = limiter.check("open", "k")
        assert (decision.degraded, decision.remaining) == (False, 999 - number)


def test_an_open_circuit_lets_one_probe_through(own_server, limiter, clock):
    own_server.kill()
    for _ in range(ROOMY.breaker_threshold):
        limiter.check("open", "k")
    assert limiter._transport.open_circuits() == 1
    own_server.start()
    assert all(limiter.check("open", "k").degraded for _ in range(1000)), "nobody asks before it is time"
    assert own_server.client().dbsize() == 0
    with Limiter(redis.Redis(port=own_server.port), POLICIES, PATIENT) as other:
        other.check("open", "other")  # the script is there again, so that the probe is executed at once
    own_server.signal(signal.SIGSTOP)
    clock.now_s += ROOMY.breaker_open_s
    with ThreadPoolExecutor(THREADS) as threads:
        assert all(decision.degraded for decision in threads.map(lambda _: limiter.check("open", "k"), range(200)))
    own_server.signal(signal.SIGCONT)
    redis_servers.until(lambda: own_server.client().dbsize() == 2)
    assert recovers(own_server, limiter, clock) == 1
    assert limiter._transport.open_circuits() == 0
    assert limiter.peek("open", "k").remaining == 999, "of 200 calls one was the probe"


def test_a_pool_at_its_limit_waits(server):
    options = Options(deadline_s=5, breaker_open_s=5, connections=1)
    with Limiter(redis.Redis(port=server.port), POLICIES, options) as limiter, ThreadPoolExecutor(8) as threads:
        decisions = list(threads.map(lambda _: limiter.check("open", "k"), range(200)))
    assert not any(decision.degraded for decision in decisions)
    assert sorted(decision.remaining for decision in decisions) == list(range(800, 1000))


def test_a_fork_uses_connections_of_its_own(server):
    with Limiter(redis.Redis(port=server.port), POLICIES, PATIENT) as limiter:
        limiter.check("open", "k")
        child = os.fork()
        if child == 0:
            os._exit(0 if all(not limiter.check("open", "k").degraded for _ in range(50)) else 1)
        assert all(not limiter.check("open", "k").degraded for _ in range(50))
        assert os.waitpid(child, 0)[1] == 0
        assert limiter.peek("open", "k").remaining == 1000 - 101


async def test_async_outages(own_server, clock):
    client = redis.asyncio.Redis(port=own_server.port)
    async with AsyncLimiter(client, POLICIES, ROOMY, clock=clock) as limiter:
        assert not (await limiter.check("open", "k")).degraded
        own_server.signal(signal.SIGSTOP)
        started_s = time.monotonic()
        decisions = await asyncio.gather(*(limiter.check("open", "k") for _ in range(100)))
        for _ in range(5):
            decisions += await asyncio.gather(*(limiter.check("open", "k") for _ in range(100)))
        assert time.monotonic() - started_s < 5 * ROOMY.deadline_s
        assert all(decision.allowed and decision.degraded for decision in decisions)
        assert not await limiter.check("closed", "k")
        assert sum([bool(await limiter.check("local", "k")) for _ in range(10)]) == 4
        own_server.signal(signal.SIGCONT)
        assert await recovers_async(own_server, limiter, clock) == 1
        own_server.kill()
        assert (await limiter.check("open", "k")).degraded
        own_server.start()
        assert await recovers_async(own_server, limiter, clock) == 1
        own_server.client().script_flush()
        assert (await limiter.check("open", "fresh")).remaining == 999


def test_a_cancelled_check_leaves_the_limiter_usable(server):
    async def main() -> None:
        async with AsyncLimiter(redis.asyncio.Redis(port=server.port), POLICIES, PATIENT) as limiter:
            tasks = [asyncio.create_task(limiter.check("open", "k")) for _ in range(20)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert not (await limiter.check("open", "k")).degraded

    asyncio.run(main())


def test_a_dead_holders_slot_returns_within_a_lease(server):
    policies = PolicySet([Policy.parse("s", "1 in flight lease 300ms")])
    child = os.fork()
    if child == 0:
        Limiter(redis.Redis(port=server.port), policies, PATIENT).take_slot("s", "k")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with Limiter(redis.Redis(port=server.port), policies, PATIENT) as limiter:
        # In Redis's own time, not in this process's: what is left of the dead holder's lease is never above one lease.
        assert limiter.peek("s", "k").reset_after_s <= 0.3
        with limiter.slot("s", "k", timeout_s=30):
            pass
