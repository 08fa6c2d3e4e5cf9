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
from tests.ratelimit import redis_servers
from tests.ratelimit.conftest import PATIENT

POLICIES = PolicySet(
    [
        Policy.parse("open", "1000/day"),
        Policy.parse("closed", "1000/day", on_outage="closed"),
        Policy.parse("local", "8/day", on_outage="local"),
        Policy.parse("slots", "4 in flight", on_outage="local"),
    ]
)
# The default deadline with more room for a machine that runs other tests.
QUICK = Options(deadline_s=0.2, instances=2)


@pytest.fixture
def limiter(own_server):
    with Limiter(redis.Redis(port=own_server.port), POLICIES, QUICK) as limiter:
        yield limiter


def recovers(limiter: Limiter, key: str = "probe") -> float:
    """Seconds until a check is no longer degraded."""
    began = time.monotonic()
    redis_servers.until(lambda: not limiter.check("open", key).degraded, within_s=10)
    return time.monotonic() - began


def test_a_stopped_redis_costs_at_most_deadlines_then_nothing(own_server, limiter):
    assert not limiter.check("open", "k").degraded
    own_server.signal(signal.SIGSTOP)
    began = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        decisions = list(threads.map(lambda _: limiter.check("open", "k"), range(200)))
    assert time.monotonic() - began < 5 * QUICK.deadline_s
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
    assert recovers(limiter) < 1.0
    # What Redis had received while it was stopped it charges once each, and nothing is sent again.
    sent = limiter.metrics.redis_failures.value
    assert 1000 - limiter.peek("open", "k").remaining <= 1 + sent


def test_killed_and_restarted(own_server, limiter):
    limiter.check("open", "k")
    own_server.kill()
    decisions = [limiter.check("open", "k") for _ in range(100)]
    assert all(decision.allowed and decision.degraded for decision in decisions)
    own_server.start()
    assert recovers(limiter) < 1.0
    assert limiter.check("open", "fresh").remaining == 999


def test_a_connection_that_broke_is_not_retried(own_server, limiter):
    """The client given retries by default; the limiter may not: the check may have been charged."""
    for _ in range(20):
        limiter.check("open", "k")
        own_server.client().client_kill_filter(_type="normal", skipme=True)
    failed = limiter.metrics.redis_failures.value
    redis_servers.until(lambda: not limiter.peek("open", "k").degraded)
    assert 20 - failed <= 1000 - limiter.peek("open", "k").remaining <= 20


def test_script_flush_charges_once(own_server, limiter):
    for number in range(10):
        own_server.client().script_flush()
        decision = limiter.check("open", "k")
        assert (decision.degraded, decision.remaining) == (False, 999 - number)


def test_an_open_circuit_lets_one_probe_through(own_server):
    options = Options(deadline_s=0.1, breaker_open_s=0.5)
    with Limiter(redis.Redis(port=own_server.port), POLICIES, options) as limiter:
        own_server.signal(signal.SIGSTOP)
        for _ in range(3):
            limiter.check("open", "k")
        assert limiter._transport.open_circuits() == 1
        began = time.perf_counter()
        for _ in range(1000):
            assert limiter.check("open", "k").degraded
        assert time.perf_counter() - began < 0.5, "no time is spent on a server that is known to be away"
        own_server.signal(signal.SIGCONT)
        assert recovers(limiter) < 1.0
        assert limiter._transport.open_circuits() == 0


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


async def test_async_outages(own_server):
    async with AsyncLimiter(redis.asyncio.Redis(port=own_server.port), POLICIES, QUICK) as limiter:
        assert not (await limiter.check("open", "k")).degraded
        own_server.signal(signal.SIGSTOP)
        began = time.monotonic()
        decisions = await asyncio.gather(*(limiter.check("open", "k") for _ in range(100)))
        for _ in range(5):
            decisions += await asyncio.gather(*(limiter.check("open", "k") for _ in range(100)))
        assert time.monotonic() - began < 5 * QUICK.deadline_s
        assert all(decision.allowed and decision.degraded for decision in decisions)
        assert not await limiter.check("closed", "k")
        assert sum([bool(await limiter.check("local", "k")) for _ in range(10)]) == 4
        own_server.signal(signal.SIGCONT)
        await _recovers(limiter)
        own_server.kill()
        assert (await limiter.check("open", "k")).degraded
        own_server.start()
        await _recovers(limiter)
        own_server.client().script_flush()
        assert (await limiter.check("open", "fresh")).remaining == 999


async def _recovers(limiter: AsyncLimiter) -> None:
    began = time.monotonic()
    for _ in range(100):
        if not (await limiter.check("open", "probe")).degraded:
            break
        await asyncio.sleep(0.01)
    assert time.monotonic() - began < 1.0


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
        began = time.monotonic()
        with limiter.slot("s", "k", timeout_s=10):
            assert time.monotonic() - began < 0.3 + 0.25 + 0.2
