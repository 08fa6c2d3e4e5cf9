"""Whatever remembers is tried again later, on an injected clock: around a window's edge, after it, after an idle hour."""

import pytest
import redis

from ratelimit_service import Limit, Policy, PolicySet
from ratelimit_service.local import LocalLimiter
from tests.ratelimit_service.driver import Driver
from tests.ratelimit_service.models import Gcra, Log, Window

MINUTE_US = 60_000_000
START_US = 1_790_000_000_000_000 // (60 * MINUTE_US) * 60 * MINUTE_US
POLICIES = PolicySet(
    [
        Policy.parse("gcra", "10/minute"),
        Policy.parse("sliding", "10/minute sliding"),
        Policy.parse("fixed", "10/minute fixed"),
        Policy.parse("log", "10/minute log"),
    ]
)
MODELS = {
    "gcra": lambda: Gcra(10, MINUTE_US // 10),
    "sliding": lambda: Window(10, MINUTE_US, is_sliding=True),
    "fixed": lambda: Window(10, MINUTE_US, is_sliding=False),
    "log": lambda: Log(10, MINUTE_US),
}


def expire(client: redis.Redis, idle_us: int) -> None:
    """Delete the keys that Redis would have by then: its own clock has not moved."""
    for key in client.scan_iter():
        if client.pttl(key) <= idle_us / 1000 - 5_000:
            client.delete(key)


@pytest.mark.parametrize("since_us", [0, MINUTE_US // 2, MINUTE_US * 2 // 3])
@pytest.mark.parametrize("policy", list(MODELS))
def test_a_refund_gives_back_what_is_in_use_then(client, policy, since_us):
    """Charged at three moments of a window, refunded around each of the next edges and after an idle hour."""
    driver, charged_us = Driver(client, POLICIES), START_US + since_us
    edges_us = [START_US + MINUTE_US, START_US + 2 * MINUTE_US, charged_us + MINUTE_US, START_US + 60 * MINUTE_US]
    moments_us = {edge_us + shift_us for edge_us in edges_us for shift_us in (-15_000_000, 0, 1, 6_000_000)} | {
        charged_us
    }
    for number, now_us in enumerate(sorted(moments_us)):
        key, model = f"k{number}", MODELS[policy]()
        driver.decide(driver.core.begin_check(policy, key, 8, None), charged_us)
        model.charge(charged_us, 8)
        expire(client, now_us - charged_us)
        for _ in range(2):
            units = driver.number(driver.core.begin_refund(policy, key, 5, None, None), now_us)
            assert units == model.refund(now_us, 5), f"{now_us - START_US} us after the window began"
            state = driver.decide(driver.core.begin_peek(policy, key, 1, None), now_us)
            assert state.remaining == model.room(now_us)


@pytest.mark.parametrize("policy", list(MODELS))
def test_a_refund_id_counts_once_for_as_long_as_the_charge_can(client, policy):
    """Redis' own clock ends the id; so its life is compared with the longest that a charge can count."""
    driver, limit = Driver(client, POLICIES), POLICIES[policy].limits[0]

    def refund(now_us: int) -> int:
        return driver.number(driver.core.begin_refund(policy, "k", 5, None, "order-1"), now_us)

    driver.decide(driver.core.begin_check(policy, "k", 10, None), START_US)
    counts = set(client.keys())
    assert refund(START_US) == 5
    [mark] = set(client.keys()) - counts
    longest_ms = limit.full_us / 1000
    assert 0 <= longest_ms - client.pttl(mark) < longest_ms / 2
    assert longest_ms >= (2 if policy in {"sliding", "fixed"} else 1) * MINUTE_US / 1000
    for later_us in (1, 6_000_000, MINUTE_US - 1):
        assert refund(START_US + later_us) == 0


@pytest.mark.parametrize("instances", [1, 2, 3])
@pytest.mark.parametrize(
    "text", ["30/minute", "30/minute burst 6", "30/minute sliding", "30/minute fixed", "30/minute log"]
)
def test_instances_together_keep_to_the_limit_through_an_outage(text, instances):
    """Two minutes of an outage, an idle hour, two minutes more: each time a full burst and what is refilled since."""
    limit = Limit.parse(text)
    processes = [LocalLimiter(instances) for _ in range(instances)]
    shares = processes[0].local_limits([limit])

    def passed(start_s: float) -> int:
        return sum(
            process.decide(shares, [b"k"], 1, start_s + step / 4, slot_id=b"", is_charged=True)[0] >= 0
            for step in range(4 * 120)
            for process in processes
        )

    allowed = limit.capacity + limit.quantity * 120 * 1_000_000 // limit.period_us
    for start_s in (1000.0, 1000.0 + 120 + 3600):
        assert allowed - 2 * instances <= passed(start_s) <= allowed
