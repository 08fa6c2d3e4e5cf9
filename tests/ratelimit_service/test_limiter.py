"""What a caller sees: answers, refunds, waiting, slots, decorators, odd keys and costs."""

import time

import pytest
import redis.asyncio

from ratelimit_service import AsyncLimiter, Policy, PolicySet, RateLimitedError, UsageError
from tests.ratelimit_service.conftest import PATIENT

ODD_KEYS = [
    "",
    " ",
    "\n",
    "a\r\n$1\r\nb",
    "\0",
    "x" * 10_000,
    "käse",
    "🧀",
    "{}",
    "}{",
    "a,b",
    "~abc",
    b"\xff\xfe",
    "\ud800",
]


@pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: repr(key)[:20])
def test_any_key_counts_and_counts_apart(make_limiter, client, key):
    limiter = make_limiter(Policy.parse("odd", "2/day per name"), Policy.parse("pair", "2/day per name+other"))
    assert [bool(limiter.check("odd", key)) for _ in range(3)] == [True, True, False]
    for other in ODD_KEYS:
        if other != key:
            assert limiter.peek("odd", other).remaining == 2
    assert limiter.check("pair", {"name": key, "other": "x"}).remaining == 1
    assert limiter.peek("pair", {"name": "x", "other": key}).remaining == 2
    assert max(len(name) for name in client.scan_iter()) < 70


def test_parts_are_not_run_together(make_limiter):
    limiter = make_limiter(Policy.parse("pair", "1/day per a+b"))
    assert limiter.check("pair", {"a": "x,y", "b": "z"})
    assert limiter.check("pair", {"a": "x", "b": "y,z"})
    assert limiter.check("pair", {"a": "x", "b": "y"})
    assert not limiter.check("pair", {"b": "y", "a": "x"})


def test_text_bytes_and_number_are_one_key(make_limiter):
    limiter = make_limiter(Policy.parse("p", "10/day"))
    assert [limiter.check("p", key).remaining for key in ("7", b"7", 7)] == [9, 8, 7]


def test_costs_at_the_edges(make_limiter):
    limiter = make_limiter(Policy.parse("p", "5/day", "9/day sliding"))
    free = limiter.check("p", "k", cost=0)
    assert (free.allowed, free.remaining) == (True, 5)
    assert limiter.check("p", "k", cost=5)
    assert limiter.check("p", "k", cost=0).allowed, "nothing is asked for, so nothing is refused"
    beyond = limiter.check("p", "k", cost=6)
    assert (beyond.allowed, beyond.retry_after_s) == (False, None)
    assert beyond.refused_by == limiter.policies["p"].limits[0]
    for cost in (-1, 1.5, True, "1", 2**60):
        with pytest.raises(UsageError, match="cost"):
            limiter.check("p", "k", cost=cost)


def test_misuse_says_what_is_wrong(make_limiter):
    limiter = make_limiter(Policy.parse("pair", "1/day per a+b"), Policy.parse("slots", "1 in flight"))
    with pytest.raises(UsageError, match="no policy 'nope'; there are pair, slots"):
        limiter.check("nope", "k")
    with pytest.raises(UsageError, match="b is missing"):
        limiter.check("pair", {"a": 1})
    with pytest.raises(UsageError, match="pass a mapping"):
        limiter.check("pair", "k")
    with pytest.raises(UsageError, match="use slot"):
        limiter.check("slots", "k")
    with pytest.raises(UsageError, match="not list"):
        limiter.peek("slots", [1])


def test_refund_is_capped_and_idempotent_by_id(make_limiter):
    limiter = make_limiter(Policy.parse("p", "10/day", "10/day fixed"))
    limiter.check("p", "k", cost=4)
    assert limiter.refund("p", "k", cost=2, refund_id="order-1") == 2
    assert limiter.refund("p", "k", cost=2, refund_id="order-1") == 0
    assert limiter.peek("p", "k").remaining == 8
    assert limiter.refund("p", "k", cost=100) == 2
    assert limiter.peek("p", "k").remaining == 10


def test_a_denied_key_is_refused_without_redis_until_refund_reset_or_reload(make_limiter):
    policy = Policy.parse("p", "1/day")
    limiter = make_limiter(policy)
    assert limiter.check("p", "k")
    first, second = limiter.check("p", "k"), limiter.check("p", "k")
    assert (first.is_cached, second.is_cached, second.allowed) == (False, True, False)
    assert 86_300 < second.retry_after_s < first.retry_after_s
    assert not limiter.check("p", "k", cost=2).is_cached
    limiter.refund("p", "k")
    assert limiter.check("p", "k").allowed
    assert not limiter.check("p", "k").is_cached
    assert limiter.check("p", "k").is_cached
    assert limiter.reset("p", "k")
    assert limiter.check("p", "k").allowed
    assert not limiter.check("p", "k")
    limiter.install(PolicySet([policy]))
    assert not limiter.check("p", "k").is_cached


def test_a_cached_denial_ends_at_its_retry_time(make_limiter):
    now = [1000.0]
    limiter = make_limiter(Policy.parse("p", "1/30s"), clock=lambda: now[0])
    limiter.check("p", "k")
    denied = limiter.check("p", "k")
    now[0] += denied.retry_after_s - 0.001
    assert limiter.check("p", "k").is_cached
    now[0] += 0.002
    assert not limiter.check("p", "k").is_cached


def test_acquire_sleeps_exactly_as_long_as_needed(make_limiter):
    limiter = make_limiter(Policy.parse("p", "10/s burst 1"))
    started_s = time.monotonic()
    for _ in range(4):
        assert limiter.acquire("p", "k", timeout_s=5)
    assert time.monotonic() - started_s >= 0.3
    assert not limiter.acquire("p", "k", timeout_s=0.01)


def test_decorator_and_context_manager(make_limiter):
    limiter = make_limiter(Policy.parse("p", "1/day"))

    @limiter.limited("p", key=lambda user, **_: user)
    def greet(user: str, *, loud: bool = False) -> str:
        return user.upper() if loud else user

    assert greet("ann", loud=True) == "ANN"
    with pytest.raises(RateLimitedError, match="policy 'p'") as rejection:
        greet("ann")
    assert rejection.value.decision.retry_after_s > 86_000
    with limiter.admit("p", "bob") as decision:
        assert decision.remaining == 0
    with pytest.raises(RateLimitedError), limiter.admit("p", "bob"):
        pytest.fail("the block ran")


def test_slots_are_held_renewed_released_and_charged_with_the_rate(make_limiter):
    limiter = make_limiter(Policy.parse("s", "2 in flight lease 30s per user", "3/day per user"))
    with limiter.slot("s", "ann") as first, limiter.slot("s", "ann") as second:
        assert (first.decision.limits[0].remaining, second.decision.limits[0].remaining) == (1, 0)
        with pytest.raises(RateLimitedError) as rejection:
            limiter.take_slot("s", "ann")
        assert rejection.value.decision.limits[1].remaining == 1, "the refusal charged the rate nothing"
        assert limiter.renew_slot(first)
        elsewhere = limiter.resume_slot("s", second.id, "ann")
        assert limiter.renew_slot(elsewhere)
        limiter.release_slot(elsewhere)
        assert not limiter.renew_slot(second), "another process gave it back"
    for slot_id in ("", "abc", "zz" * 6, "00" * 5, "00" * 7):
        with pytest.raises(UsageError, match="12 hexadecimal digits"):
            limiter.resume_slot("s", slot_id, "ann")
    with limiter.slot("s", "ann") as third:
        limiter.reset("s", "ann")
        assert not limiter.renew_slot(third)
        assert third.is_lost


def test_a_shadow_policy_counts_apart_and_never_denies(make_limiter):
    strict = Policy.parse("p", "1/day")
    limiter = make_limiter(Policy.parse("p", "1/day", is_shadow=True))
    decisions = [limiter.check("p", "k") for _ in range(3)]
    assert [(d.allowed, d.would_deny) for d in decisions] == [(True, False), (True, True), (True, True)]
    assert limiter.metrics.policy("p").would_deny.value == 2
    limiter.install(PolicySet([strict]))
    assert limiter.check("p", "k"), "the shadow charged the enforced limit nothing"
    assert not limiter.check("p", "k")
    limiter.install(PolicySet([strict], is_shadow=True))
    assert limiter.check("p", "k").allowed


def test_a_tenant_has_its_own_limits(make_limiter):
    limiter = make_limiter(Policy.parse("p", "1/day per user", tenants={"acme": ["3/day per user"]}))
    assert limiter.check("p", "ann").limit == 1
    assert limiter.check("p", "ann", tenant="acme").limit == 3
    assert limiter.check("p", "bob", tenant="other").limit == 1


async def test_the_async_limiter_does_all_of_it(server):
    policies = PolicySet(
        [Policy.parse("p", "2/day"), Policy.parse("s", "1 in flight"), Policy.parse("fast", "20/s burst 1")]
    )
    async with AsyncLimiter(redis.asyncio.Redis(port=server.port), policies, PATIENT) as limiter:
        assert (await limiter.check("p", "k")).remaining == 1
        assert (await limiter.peek("p", "k")).remaining == 1
        assert await limiter.refund("p", "k", refund_id="x") == 1
        assert await limiter.refund("p", "k", refund_id="x") == 0
        assert await limiter.reset("p", "k")
        async with limiter.slot("s", "k") as slot:
            assert await limiter.renew_slot(slot)
            with pytest.raises(RateLimitedError):
                await limiter.take_slot("s", "k")
        async with limiter.slot("s", "k"):
            pass
        for _ in range(3):
            assert await limiter.acquire("fast", "k", timeout_s=5)

        @limiter.limited("p", key=lambda user: user)
        async def greet(user: str) -> str:
            return user

        assert [await greet("ann"), await greet("ann")] == ["ann", "ann"]
        with pytest.raises(RateLimitedError):
            await greet("ann")
        with pytest.raises(UsageError):
            await limiter.check("p", "k", cost=-1)


def test_metrics_hold_no_key(make_limiter):
    from prometheus_client import CollectorRegistry, generate_latest

    limiter = make_limiter(Policy.parse("p", "1/day"))
    for _ in range(3):
        limiter.check("p", "secret-key")
    registry = CollectorRegistry()
    registry.register(limiter.metrics)
    text = generate_latest(registry).decode()
    assert 'ratelimit_decisions_total{outcome="allowed",policy="p"} 1.0' in text
    assert 'ratelimit_decisions_total{outcome="denied",policy="p"} 2.0' in text
    assert 'ratelimit_denial_cache_hits_total{policy="p"} 1.0' in text
    assert "ratelimit_redis_seconds_count 2.0" in text
    assert "secret" not in text
