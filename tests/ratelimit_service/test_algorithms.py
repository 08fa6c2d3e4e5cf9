"""Random traffic against the Lua with an injected clock, beside a Python model of each algorithm."""

import itertools

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ratelimit_service import Policy, PolicySet
from ratelimit_service.calls import Call
from ratelimit_service.script import Op, pack_request, pack_time
from tests.ratelimit_service.driver import Driver
from tests.ratelimit_service.models import Gcra, Log, Window

MINUTE = 60_000_000
TEXTS = {
    "gcra": ["7/minute burst 5"],
    "sliding": ["9/2m sliding"],
    "fixed": ["8/90s fixed"],
    "log": ["6/70s log"],
    "large-log": ["900/70s log"],
    "all": ["7/minute burst 5", "9/2m sliding", "8/90s fixed", "6/70s log"],
}
POLICIES = PolicySet([Policy.parse(name, *texts) for name, texts in TEXTS.items()])
COSTS = st.integers(0, 10) | st.sampled_from([299, 300, 450, 899, 900, 901])
_unique = itertools.count()


def model_of(name: str) -> list:
    each = {
        "gcra": Gcra(5, -(-MINUTE // 7)),
        "sliding": Window(9, 2 * MINUTE, is_sliding=True),
        "fixed": Window(8, 90_000_000, is_sliding=False),
        "log": Log(6, 70_000_000),
    }
    if name == "large-log":
        return [Log(900, 70_000_000)]
    return list(each.values()) if name == "all" else [each[name]]


class Traffic(RuleBasedStateMachine):
    driver: Driver

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_790_000_000_000_000
        self.models: dict = {}
        self.mark = f"k{next(_unique)}"

    def model(self, policy: str, key: str) -> list:
        return self.models.setdefault((policy, key), model_of(policy))

    def compare(self, decision, models: list, cost: int) -> None:
        for state, model in zip(decision.limits, models, strict=True):
            assert state.remaining == max(model.room(self.now), 0)
            assert round(state.reset_after_s * 1e6) == model.reset(self.now)
            assert state.is_obstacle == (not decision.allowed and cost > model.room(self.now))
            if state.retry_after_s is None:
                assert cost > model.capacity

    @rule(seconds=st.one_of(st.integers(0, 100_000_000), st.integers(-3_000_000, 3)))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(policy=st.sampled_from(list(TEXTS)), key=st.sampled_from("ab"), cost=COSTS)
    def check(self, policy: str, key: str, cost: int) -> None:
        models = self.model(policy, key)
        decision = self.driver.decide(self.driver.core.begin_check(policy, self.mark + key, cost, None), self.now)
        rooms = [model.room(self.now) for model in models]
        assert decision.allowed == (cost == 0 or all(cost <= room for room in rooms))
        if decision.allowed and cost:
            for model in models:
                model.charge(self.now, cost)
        self.compare(decision, models, cost)
        if not decision.allowed and decision.retry_after_s is not None:
            self.waits_exactly(policy, key, cost, round(decision.retry_after_s * 1e6))

    def waits_exactly(self, policy: str, key: str, cost: int, wait: int) -> None:
        def peek_at(now: int) -> bool:
            return self.driver.decide(self.driver.core.begin_peek(policy, self.mark + key, cost, None), now).allowed

        # Just before, and then: the order matters to the log, which forgets what it has seen pass.
        assert not peek_at(self.now + wait - 1)
        assert peek_at(self.now + wait)
        if policy in {"log", "large-log", "all"}:
            for model in self.model(policy, key):
                model.room(self.now + wait)

    @rule(
        policy=st.sampled_from(list(TEXTS)),
        key=st.sampled_from("ab"),
        maximum=st.integers(1, 10),
        minimum=st.integers(1, 4),
    )
    def take(self, policy: str, key: str, maximum: int, minimum: int) -> None:
        models = self.model(policy, key)
        compiled = self.driver.core.compiled_set.lookup(policy, None)
        keys = compiled.keys.make(self.mark + key)
        request = pack_request(Op.TAKE, len(keys), compiled.packed, max(maximum, minimum), minimum)
        reply = self.driver.transport.call(keys, (pack_time(self.now), request))
        granted = int(compiled.reply.unpack(reply)[0])
        room = min(model.room(self.now) for model in models)
        assert granted == (min(room, max(maximum, minimum)) if room >= minimum else -1)
        if granted > 0:
            for model in models:
                model.charge(self.now, granted)

    @rule(policy=st.sampled_from(list(TEXTS)), key=st.sampled_from("ab"), cost=COSTS)
    def refund(self, policy: str, key: str, cost: int) -> None:
        back = self.driver.number(self.driver.core.begin_refund(policy, self.mark + key, cost, None, None), self.now)
        assert back == max(model.refund(self.now, cost) for model in self.model(policy, key))

    @rule(policy=st.sampled_from(list(TEXTS)), key=st.sampled_from("ab"))
    def reset(self, policy: str, key: str) -> None:
        self.driver.number(self.driver.core.begin_reset(policy, self.mark + key, None), self.now)
        self.models.pop((policy, key), None)

    @invariant()
    def every_key_ends(self) -> None:
        client = self.client
        assert all(client.pttl(key) != -1 for key in client.scan_iter(match=f"*{self.mark}*", count=1000))

    def teardown(self) -> None:
        # Or each example would scan the keys of all before it, for a time that grows with their square.
        self.client.flushdb()


# Each step is a few calls of Redis: seconds on a quiet machine, minutes where twenty processes share the cores.
@pytest.mark.timeout(1800)
def test_the_lua_does_what_the_models_do(client):
    machine = type("TrafficHere", (Traffic,), {"driver": Driver(client, POLICIES), "client": client})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=80,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_clock_that_goes_back_opens_no_new_window(client):
    """A failover to a server whose clock is behind: the window that was reached goes on."""
    driver = Driver(client, POLICIES)
    boundary = 1_790_000_000_000_000 // 120_000_000 * 120_000_000
    for policy, capacity in (("sliding", 9), ("fixed", 8)):
        start = boundary if policy == "sliding" else boundary // 90_000_000 * 90_000_000
        assert driver.decide(driver.core.begin_check(policy, "back", capacity, None), start + 1).allowed
        behind = driver.decide(driver.core.begin_check(policy, "back", 1, None), start - 2_000_000)
        assert not behind.allowed
        assert behind.remaining == 0


@pytest.mark.parametrize("cost", [10, 1000, 50_000, 98_000])
@pytest.mark.parametrize("algorithm", ["gcra", "sliding", "fixed", "log"])
def test_a_decision_takes_as_many_commands_at_any_cost(client, algorithm, cost):
    """Redis serves nobody else meanwhile. Commands are counted, not time: a busy machine changes nothing."""
    driver = Driver(client, PolicySet([Policy.parse("p", f"100000/day {algorithm}")]))
    now = 1_790_000_000_000_000 // 86_400_000_000 * 86_400_000_000

    def commands(call: Call) -> int:
        client.config_resetstat()
        driver.decide(call, now) if call.op <= Op.TAKE else driver.number(call, now)
        return sum(stats["calls"] for stats in client.info("commandstats").values())

    core = driver.core
    for _ in range(1000):
        driver.decide(core.begin_check("p", "k", 1, None), now)
    command_limit = 10 * commands(core.begin_check("p", "k", 1, None))
    assert commands(core.begin_check("p", "k", cost, None)) <= command_limit
    assert commands(core.begin_peek("p", "k", 100_000, None)) <= command_limit, (
        "a refusal, which finds out how long to wait"
    )
    assert commands(core.begin_refund("p", "k", cost + 500, None, None)) <= command_limit
    assert driver.decide(core.begin_peek("p", "k", 1, None), now).remaining == 100_000 - 501
    if algorithm == "log":
        assert all(client.zcard(key) <= 1002 for key in client.scan_iter()), "a member per charge, not per unit"
