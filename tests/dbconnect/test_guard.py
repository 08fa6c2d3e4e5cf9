"""The guard's rules and the plan's order, without servers: time is a number here."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from dbconnect import NoFreshServerError
from dbconnect.commit_tokens import CommitToken
from dbconnect.read_plan import ChosenServer, Pause, ReadRequest, TryServer, plan_read
from dbconnect.replica_guard import GuardLimits, ReplicaGuard
from dbconnect.routes import Server
from dbconnect.server_health import HealthProbe, ReadProbe
from dbconnect.token_bucket import TokenBucket

PRIMARY = Server("primary", "url", "url")
FIRST = Server("first", "url", "url")
SECOND = Server("second", "url", "url", weight=3)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def probe(at: float, *, heartbeat: float | None = None, is_in_recovery: bool = True, **changes: Any) -> HealthProbe:
    """A look at that second; the newest beat is of that second, too, unless said otherwise."""
    values = {
        "at": at,
        "is_in_recovery": is_in_recovery,
        "heartbeat_at": EPOCH + timedelta(seconds=at if heartbeat is None else heartbeat),
        "clock_at": EPOCH + timedelta(seconds=at),
        "position": int(at * 1000),
        "system_identifier": 1,
        "timeline": 1,
        "has_heartbeat": True,
    }
    return HealthProbe(**(values | changes))


def make_guard(*replicas: Server, **limits: Any) -> ReplicaGuard:
    guard = ReplicaGuard(replicas or (FIRST,), PRIMARY, GuardLimits(**limits), random_source=Random(1))
    guard.record_probe(PRIMARY, probe(0, is_in_recovery=False))
    for replica in guard.replicas:
        guard.record_probe(replica, probe(0))
    return guard


def see(guard: ReplicaGuard, at: float, **replica: Any) -> str:
    """Look at the primary and the first replica; give the latter's state."""
    guard.record_probe(PRIMARY, probe(at, is_in_recovery=False))
    guard.record_probe(FIRST, probe(at, **replica))
    return guard.states(at)[0].reason


def test_knowledge_grows_old_within_a_second() -> None:
    guard = make_guard()
    assert guard.fresh_replicas(2.0, 0.9) == [FIRST]
    assert guard.fresh_replicas(2.0, 1.1) == []
    assert guard.states(1.1)[0].reason == "not checked yet"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"heartbeat": 0.9}, ""),
        ({"heartbeat": -1.1}, "late"),
        ({"position": 0}, "too far behind"),
        ({"is_in_recovery": False}, "not in recovery"),
        ({"system_identifier": 2}, "other cluster"),
        ({"timeline": 2}, "wrong timeline"),
    ],
)
def test_what_ejects_a_replica(changes: dict[str, Any], reason: str) -> None:
    guard = make_guard(max_lag_bytes=500)
    assert see(guard, 1.0, **changes) == reason
    assert guard.fresh_replicas(2.0, 1.0) == ([FIRST] if not reason else [])


def test_a_replica_comes_back_after_good_looks_and_without_its_old_connections() -> None:
    guard = make_guard(readmit_after=3)
    guard.record_failure(FIRST, "connection refused", is_timeout=False)
    assert guard.needs_cleaning(FIRST)
    for at in (1.0, 1.1, 1.2, 1.3):
        assert see(guard, at) == "good again, but not for long enough"
    guard.mark_cleaned(FIRST)
    assert see(guard, 1.4) == ""
    assert see(guard, 4.0, heartbeat=0.0) == "late"
    assert not guard.needs_cleaning(FIRST)
    assert [see(guard, at) for at in (4.1, 4.2, 4.3)][-1] == ""


def test_a_late_replica_serves_who_asks_for_no_more() -> None:
    guard = make_guard()
    assert see(guard, 10.0, heartbeat=5.0) == "late"
    assert guard.fresh_replicas(2.0, 10.0) == []
    assert guard.fresh_replicas(6.0, 10.0) == [FIRST]


def test_a_promotion_upstream_is_proven_by_a_beat_of_the_new_primary() -> None:
    guard = make_guard()
    new = {"is_in_recovery": False, "timeline": 2}
    guard.record_probe(PRIMARY, probe(1.0, heartbeat=0.5, **new))
    # The beat from before the promotion proves nothing: the former primary's replicas have it, too.
    guard.record_probe(FIRST, probe(1.0, heartbeat=0.5))
    assert guard.states(1.0)[0].reason == "wrong timeline"
    guard.mark_cleaned(FIRST)
    guard.record_probe(PRIMARY, probe(1.2, heartbeat=1.1, **new))
    for at in (1.2, 1.3, 1.4):
        guard.record_probe(FIRST, probe(at, heartbeat=1.1))
    assert guard.states(1.4)[0].reason == ""


def test_clocks_that_differ_do_not_matter() -> None:
    guard = make_guard()
    ahead = EPOCH + timedelta(hours=1)
    guard.record_probe(PRIMARY, probe(1.0, is_in_recovery=False))
    guard.record_probe(FIRST, probe(1.0, heartbeat=0.8, clock_at=ahead))
    assert guard.states(1.0)[0].lag_s == pytest.approx(0.2)


def test_reads_are_spread_by_weight() -> None:
    guard = make_guard(FIRST, SECOND)
    first_choices = Counter(guard.fresh_replicas(2.0, 0.5)[0].name for _ in range(4000))
    assert 2800 < first_choices["second"] < 3200


def test_the_budget_holds_its_rate() -> None:
    bucket = TokenBucket(per_second=2, burst=3)
    assert [bucket.take(0.0) for _ in range(5)] == [True, True, True, False, False]
    assert bucket.next_in_s(0.0) == pytest.approx(0.5)
    assert [bucket.take(at / 10) for at in range(1, 51)].count(True) == 10
    assert bucket.level(1000) == 3
    assert not TokenBucket(per_second=0, burst=5).take(0.0)


def test_a_clock_that_steps_back_grants_nothing() -> None:
    bucket = TokenBucket(per_second=1, burst=1)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
    assert not bucket.take(50.5)


def act_out(
    guard: ReplicaGuard, answers: dict[str, list[ReadProbe | Exception]], **request: Any
) -> tuple[ChosenServer, list[str]]:
    """Play the router: give each server's next answer; the steps taken, by name."""
    now = 0.5
    steps: list[str] = []
    options = {"max_staleness_s": 2.0, "token": None, "allow_stale": True, "token_wait_s": 0.1} | request
    budget = TokenBucket(per_second=1, burst=1)
    plan = plan_read(guard, budget, ReadRequest(**options), lambda: now)
    answer = None
    while True:
        try:
            step = plan.send(answer)
        except StopIteration as end:
            return end.value, steps
        if isinstance(step, Pause):
            now += step.seconds
            steps.append("pause")
            answer = None
        else:
            assert isinstance(step, TryServer)
            steps.append(step.server.name)
            answer = answers[step.server.name].pop(0)


def test_what_the_snapshot_shows_counts_not_what_the_guard_believed() -> None:
    late = probe(0.5, heartbeat=-5)
    choice, steps = act_out(make_guard(), {"first": [late], "primary": [probe(0.5, is_in_recovery=False)]})
    assert steps == ["first", "primary"]
    assert (choice.server, choice.is_fallback, choice.is_stale) == (PRIMARY, True, False)
    promoted = probe(0.5, is_in_recovery=False)
    choice, _ = act_out(make_guard(), {"first": [promoted], "primary": [promoted]})
    assert choice.server == PRIMARY


def test_a_fault_moves_on_to_the_next_replica_and_last_to_stale_data() -> None:
    fault = ConnectionError("gone")
    guard = make_guard(FIRST, SECOND)
    choice, steps = act_out(guard, {"first": [fault], "second": [fault], "primary": [probe(0.5, is_in_recovery=False)]})
    assert sorted(steps[:2]) == ["first", "second"]
    assert choice.is_fallback
    late = probe(0.5, heartbeat=-5)
    choice, steps = act_out(make_guard(), {"first": [late, late], "primary": [fault]})
    assert steps == ["first", "primary", "first"]
    assert (choice.is_stale, choice.staleness_s) == (True, 5.5)


def test_a_token_waits_for_the_replica_then_asks_the_primary() -> None:
    token = CommitToken(timeline=1, position=600)
    behind, there = probe(0.5, position=599), probe(0.5, position=600)
    choice, steps = act_out(make_guard(), {"first": [behind, behind, there]}, token=token)
    assert steps == ["first", "pause", "first", "pause", "first"]
    assert not choice.is_fallback
    choice, steps = act_out(
        make_guard(), {"first": [behind] * 20, "primary": [probe(0.5, is_in_recovery=False)]}, token=token
    )
    assert steps[-1] == "primary"
    assert choice.is_fallback


def test_a_token_of_another_timeline_is_never_compared_with_a_replica() -> None:
    token = CommitToken(timeline=2, position=1)
    choice, steps = act_out(make_guard(), {"primary": [probe(0.5, is_in_recovery=False)]}, token=token)
    assert steps == ["primary"]
    assert choice.is_fallback


def test_nothing_left_is_an_error_that_says_when() -> None:
    guard = make_guard()
    guard.record_failure(PRIMARY, "refused", is_timeout=False)
    with pytest.raises(NoFreshServerError, match=r"first: 5.5 s old; primary: away") as error:
        act_out(guard, {"first": [probe(0.5, heartbeat=-5)]}, allow_stale=False)
    assert error.value.retry_after_s == 1.0
