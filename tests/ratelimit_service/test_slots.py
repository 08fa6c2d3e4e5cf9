"""Slots in flight: random traffic beside a Python model, and what their keys look like in Redis."""

import itertools

import hypothesis.strategies as st
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from ratelimit_service import Policy, PolicySet
from ratelimit_service.script import SLOT_ID_BYTES, Op
from tests.ratelimit_service.driver import Driver
from tests.ratelimit_service.models import Slots

SECOND = 1_000_000
START = 1_790_000_000_000_000
LIMITS = {
    "short": [Slots(3, 20 * SECOND)],
    "long": [Slots(2, 10_000 * SECOND)],
    "both": [Slots(2, 20 * SECOND), Slots(3, 70 * SECOND)],
}
POLICIES = PolicySet(
    [
        Policy.parse(name, *(f"{slots.capacity} in flight lease {slots.lease_us // SECOND}s" for slots in limits))
        for name, limits in LIMITS.items()
    ]
)
_unique = itertools.count()


class Holders(RuleBasedStateMachine):
    """Takes, renews and releases slots; time passes, and now and then goes back."""

    client: redis.Redis
    driver: Driver
    slots = Bundle("slots")

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.mark = f"s{next(_unique)}"
        self.models = {
            name: [Slots(each.capacity, each.lease_us) for each in limits] for name, limits in LIMITS.items()
        }
        self.ends: dict[bytes, int] = {}

    def redis_forgets(self) -> None:
        """What the clock of Redis, which the test can't move, would have removed by its TTL half a lease ago."""
        for policy, models in self.models.items():
            keys = self.driver.core.compiled_set.lookup(policy, None).keys.make(self.mark)
            for key, model in zip(keys, models, strict=True):
                if self.now > self.ends.get(key, self.now) + model.lease_us // 2:
                    self.client.delete(key)

    def watch(self, call) -> None:
        """A key's TTL must not end before its last lease does; some of it has gone by since the call."""
        for key in call.keys:
            left_ms = self.client.pttl(key)
            self.ends[key] = self.now + max(left_ms, 0) * 1000
            assert left_ms > 0 or not self.client.exists(key)

    @rule(seconds=st.one_of(st.integers(0, 100 * SECOND), st.integers(-3 * SECOND, 3)))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        self.redis_forgets()

    @rule(target=slots, policy=st.sampled_from(list(LIMITS)))
    def take(self, policy: str):
        slot_id = next(_unique).to_bytes(SLOT_ID_BYTES)
        call = self.driver.core.begin_slot(policy, self.mark, None, None, slot_id)
        decision = self.driver.decide(call, self.now)
        models = self.models[policy]
        assert decision.allowed == all(model.room(self.now) for model in models)
        for model, state in zip(models, decision.limits, strict=True):
            if decision.allowed:
                model.hold(self.now, slot_id)
            ends = model.alive(self.now).values()
            assert state.remaining == model.room(self.now)
            assert round(state.reset_after_s * 1e6) == max(ends, default=self.now) - self.now
            waits = not decision.allowed and not model.room(self.now)
            assert round(state.retry_after_s * 1e6) == (min(ends) - self.now if waits else 0)
        self.watch(call)
        return (policy, call) if decision.allowed else multiple()

    @rule(slot=slots, op=st.sampled_from([Op.RENEW, Op.RELEASE]))
    def hold(self, slot, op: Op) -> None:
        policy, call = slot
        models = self.models[policy]
        is_held = all(call.slot_id in model.alive(self.now) for model in models)
        assert self.driver.number(self.driver.core.begin_hold(call, op), self.now) == (1 if is_held else -1)
        for model in models:
            if op is Op.RELEASE:
                model.leases.pop(call.slot_id, None)
            elif is_held:
                model.hold(self.now, call.slot_id)
        self.watch(call)

    @invariant()
    def every_key_ends(self) -> None:
        assert all(self.client.pttl(key) != -1 for key in self.client.scan_iter(match=f"*{self.mark}*"))


def test_the_lua_does_what_the_model_does(client):
    machine = type("HoldersHere", (Holders,), {"driver": Driver(client, POLICIES), "client": client})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=80,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def is_one_integer(client, key) -> bool:
    """Whether a key holds one slot in its compact form; servers differ in how they encode the integer."""
    return client.type(key) == b"string" and client.get(key).isdigit()


def test_one_slot_is_an_integer_and_several_are_a_sorted_set(make_limiter, client):
    limiter = make_limiter(Policy.parse("s", "3 in flight"))
    first = limiter.take_slot("s", "k")
    [key] = client.keys()
    assert is_one_integer(client, key)
    assert limiter.renew_slot(first)
    assert is_one_integer(client, key)
    second = limiter.take_slot("s", "k")
    assert set(client.zrange(key, 0, -1)) == {bytes.fromhex(first.id), bytes.fromhex(second.id)}
    assert limiter.renew_slot(first)
    assert limiter.renew_slot(second)
    limiter.release_slot(first)
    assert not limiter.renew_slot(first)
    assert limiter.renew_slot(second), "the one that is left"
    limiter.release_slot(second)
    assert not client.exists(key)
    with limiter.slot("s", "k"):
        assert is_one_integer(client, key)


def test_a_slot_is_not_released_by_who_lost_it(make_limiter):
    limiter = make_limiter(Policy.parse("s", "1 in flight"))
    lost = limiter.take_slot("s", "k")
    limiter.reset("s", "k")
    with limiter.slot("s", "k") as slot:
        assert not limiter.renew_slot(lost)
        limiter.release_slot(lost)
        assert limiter.renew_slot(slot)


def test_a_clock_that_goes_back_frees_no_slot(client):
    """A failover to a server whose clock is behind, by up to two leases."""
    driver = Driver(client, PolicySet([Policy.parse("s", "1 in flight lease 10s")]))
    assert driver.decide(driver.core.begin_slot("s", "k", None, None, b"first!"), START)
    for back_s in (1, 10, 19):
        assert not driver.decide(driver.core.begin_slot("s", "k", None, None, b"second"), START - back_s * SECOND)


def test_thousands_of_slots(make_limiter, client):
    limiter = make_limiter(Policy.parse("s", "3000 in flight"))
    leases = [limiter.take_slot("s", "k") for _ in range(3000)]
    assert leases[-1].decision.remaining == 0
    assert limiter.peek("s", "k").retry_after_s > 0
    assert all(limiter.renew_slot(slot) for slot in leases[::100])
    for slot in leases:
        limiter.release_slot(slot)
    assert not client.keys()
