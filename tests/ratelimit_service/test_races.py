"""Many callers at once: exactly as many pass as the limit says, whatever their own clocks say."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis.asyncio

from ratelimit_service import AsyncLimiter, CheckRequest, Policy, PolicySet
from tests.ratelimit_service.conftest import PATIENT

HUNDRED = ["100/day", "100/day sliding", "100/day fixed", "100/day log"]


@pytest.mark.parametrize("text", HUNDRED)
def test_of_800_racing_calls_exactly_100_pass(make_limiter, text):
    limiter = make_limiter(Policy.parse("race", text, "1000/day per all"))
    start = threading.Barrier(8)

    def hundred_calls() -> int:
        start.wait()
        return sum(limiter.check("race", {"key": "hot"}).allowed for _ in range(100))

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: hundred_calls(), range(8))) == 100
    # All or nothing: 700 denials charged the wider limit nothing.
    assert limiter.peek("race", {"key": "other"}).limits[1].remaining == 900


async def test_of_800_racing_tasks_exactly_100_pass_in_few_round_trips(server):
    limiter = AsyncLimiter(redis.asyncio.Redis(port=server.port), PolicySet([Policy.parse("race", "100/day")]), PATIENT)
    decisions = await asyncio.gather(*(limiter.check("race", "hot") for _ in range(800)))
    assert sum(decision.allowed for decision in decisions) == 100
    assert sorted(d.remaining for d in decisions if d.allowed) == list(range(100))
    buckets, _ = limiter.metrics.redis_latency.cumulative()
    assert buckets[-1][1] < 20
    await limiter.aclose()


@pytest.mark.parametrize("skew_s", [-12.0, 12.0])
def test_a_skewed_client_clock_changes_nothing(make_limiter, skew_s, monkeypatch):
    policy = Policy.parse("skew", "5/minute", "6/minute sliding", "7/minute log")
    true, skewed = make_limiter(policy), make_limiter(policy, clock=lambda: time.monotonic() + skew_s)
    real_time = time.time
    monkeypatch.setattr(time, "time", lambda: real_time() + skew_s)
    assert sum((skewed if number % 2 else true).check("skew", "k").allowed for number in range(20)) == 5


def test_check_many_decides_in_order_and_each_alone(make_limiter):
    limiter = make_limiter(Policy.parse("two", "2/day"), Policy.parse("wide", "10/day"))
    requests = [
        CheckRequest("two", "a"),
        CheckRequest("two", "a"),
        CheckRequest("wide", "a", 4),
        CheckRequest("two", "a"),
    ]
    decisions = limiter.check_many(requests)
    assert [decision.allowed for decision in decisions] == [True, True, True, False]
    assert [decision.remaining for decision in decisions] == [1, 0, 6, 0]


def test_processes_that_lease_never_exceed_the_limit_and_give_back_on_close(make_limiter, client):
    policy = Policy.parse("leased", "100/day", lease=20)
    limiters = [make_limiter(policy) for _ in range(3)]
    passed = sum(limiters[number % 3].check("leased", "k").allowed for number in range(300))
    assert passed == 100
    client.flushall()
    limiter = make_limiter(policy)
    assert limiter.check("leased", "k").remaining == 99
    assert make_limiter(policy).peek("leased", "k").remaining == 80
    limiter.close()
    assert make_limiter(policy).peek("leased", "k").remaining == 99


def test_threads_that_share_a_lease_strand_at_most_one(make_limiter):
    limiter = make_limiter(Policy.parse("leased", "100/day", lease=20))
    with ThreadPoolExecutor(8) as threads:
        decisions = list(threads.map(lambda _: limiter.check("leased", "k"), range(60)))
    assert all(decisions)
    assert 100 - limiter.peek("leased", "k").remaining - 60 <= 20


async def test_async_leases_and_denials_need_few_round_trips(server):
    policies = PolicySet([Policy.parse("leased", "1000/day", lease=20), Policy.parse("one", "1/day")])
    limiter = AsyncLimiter(redis.asyncio.Redis(port=server.port), policies, PATIENT)
    for number in range(200):
        assert (await limiter.check("leased", "k")).remaining == 999 - number
    assert [bool(await limiter.check("one", "k")) for _ in range(50)] == [True] + [False] * 49
    buckets, _ = limiter.metrics.redis_latency.cumulative()
    assert buckets[-1][1] == 10 + 2
    await limiter.aclose()
