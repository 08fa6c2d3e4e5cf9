"""Random operations on the store with an injected clock, each beside the same on a plain Python model."""

import itertools
import os
import random

import hypothesis.strategies as st
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from background_jobs.store import (
    TRANSITIONS,
    Caps,
    Deadlines,
    IdempotencyConflictError,
    Job,
    JobState,
    JobStore,
    JobStoreOptions,
    Submission,
)
from tests.background_jobs.store.conftest import T0
from tests.background_jobs.store.reference_store import WAITS, ReferenceStore

GAP_S = 25
LIVE_MAX = 6
SPANS = [
    Deadlines(queue_s=100, start_s=20, lease_s=10, run_s=60, cancel_s=15),
    Deadlines(queue_s=30, start_s=40, lease_s=0, run_s=90, cancel_s=5),
]
TENANTS, KINDS, SLOTS = ["", "a", "b"], ["x", "y"], ["", "day"]
WHICH = st.integers(0, 11)
RARELY = st.sampled_from([False] * 7 + [True])
HAS_JOBS = lambda self: bool(self.model.jobs)  # noqa: E731 - a precondition
ATTEMPTS = st.sampled_from([0, 0, 0, 0, -1, 1])
_EXAMPLES = int(os.environ.get("SALESPULSE_MACHINE_EXAMPLES", "20"))
_WALKS = 1 + _EXAMPLES // 10
_unique = itertools.count()


class Jobs(RuleBasedStateMachine):
    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        prefix = f"m{next(_unique)}{{jobs}}:"
        self.prefix = prefix
        self.store = JobStore(self.client, JobStoreOptions(prefix=prefix, timeout_s=30, sweep_gap_s=GAP_S))
        self.model = ReferenceStore()
        self.now = T0

    def same(self, job: Job | None, job_id: str) -> None:
        model = self.model.jobs[job_id]
        assert job is not None
        expected = model.document()
        assert {name: getattr(job, name) for name in expected} == expected
        late = job.late_outcome
        assert (late and (late["attempt"], late["state"], late["code"], late["at_ms"])) == model.late

    def pick(self, which: int) -> str:
        """One of the live jobs, or of the two that ended last."""
        jobs = self.model.jobs.values()
        ended = sorted((job for job in jobs if not job.is_live), key=lambda job: job.ended_ms)[-2:]
        candidates = [*(job for job in jobs if job.is_live), *ended]
        return candidates[which % len(candidates)].id

    def attempt(self, job_id: str, off: int) -> int:
        return max(self.model.jobs[job_id].attempt + off, 1)

    @rule(seconds=st.sampled_from([0.001, 1, 3, 5, 9.999, 10, 15, 20, 40, 100]))
    def time_passes(self, seconds: float) -> None:
        self.now += round(seconds * 1000)

    @precondition(HAS_JOBS)
    @rule(which=WHICH, steps=st.integers(1, 4))
    def goes_on(self, which: int, steps: int) -> None:
        """What most jobs do most of the time, so that the other rules meet jobs in every state."""
        job = self.model.jobs[self.pick(which)]
        for _ in range(steps):
            if job.state in WAITS and job.claimed_until_ms is None:
                self.claim(limit=20, per_tenant=20, caps={}, ttl_s=15)
            elif job.state in WAITS:
                self.changed(
                    self.store.dispatched(job.id, job.attempt, now_ms=self.now),
                    job.id,
                    applied=self.model.dispatched(job.id, job.attempt, self.now),
                )
            elif job.state == "dispatched":
                self.store.started(job.id, job.attempt, now_ms=self.now)
                assert self.model.started(job.id, job.attempt, self.now)
            elif job.state == "running":
                self.store.fail(job.id, job.attempt, "STEP_FAILURE", "it broke", now_ms=self.now)
                assert self.model.fail(job.id, job.attempt, "STEP_FAILURE", self.now, may_retry=True)

    @precondition(lambda self: sum(job.is_live for job in self.model.jobs.values()) < LIVE_MAX)
    @rule(
        kind=st.sampled_from(KINDS),
        tenant=st.sampled_from(TENANTS),
        priority=st.integers(-2, 2),
        delay_s=st.sampled_from([0, 0, 0, 7.5]),
        coalesce_key=st.sampled_from([None, *SLOTS]),
        idempotency_key=st.sampled_from([None, None, None, "k1", "k2"]),
        fingerprint=st.sampled_from(["f", "f", "g"]),
        max_attempts=st.integers(1, 3),
        retry_delay_s=st.sampled_from([0, 3]),
        spans=st.sampled_from(SPANS),
    )
    def submit(self, spans: Deadlines, **values) -> None:
        new = Submission(params={"n": 1}, deadlines=spans, **values)
        outcome, job_id = self.model.submit(new, self.now)
        if outcome == "conflict":
            with pytest.raises(IdempotencyConflictError) as error:
                self.store.submit(new, now_ms=self.now)
            assert error.value.job_id == job_id
            return
        done = self.store.submit(new, now_ms=self.now)
        assert done.outcome == outcome
        self.same(done.job, job_id)

    @precondition(HAS_JOBS)
    @rule(which=WHICH)
    def submit_again(self, which: int) -> None:
        job_id = self.pick(which)
        again = self.store.submit(self.model.jobs[job_id].submission, now_ms=self.now)
        assert again.outcome == "replayed"
        self.same(again.job, job_id)

    @rule(
        limit=st.integers(1, 6),
        per_tenant=st.integers(0, 4),
        caps=st.dictionaries(st.sampled_from(KINDS), st.integers(0, 3)),
        ttl_s=st.sampled_from([5, 15]),
    )
    def claim(self, limit: int, per_tenant: int, caps: dict, ttl_s: int) -> None:
        all_caps = Caps(per_tenant, caps)
        claims = self.store.claim(limit=limit, caps=all_caps, ttl_s=ttl_s, now_ms=self.now)
        assert [claim.job.id for claim in claims] == self.model.claim(limit, all_caps, ttl_s * 1000, self.now)
        for claim in claims:
            self.same(claim.job, claim.job.id)
            assert claim.attempt == claim.job.attempt

    def changed(self, change, job_id: str, applied: bool) -> None:
        assert change.applied == applied
        self.same(change.job, job_id)

    @precondition(HAS_JOBS)
    @rule(which=WHICH, off=ATTEMPTS, delay_s=st.sampled_from([0, 4]))
    def release(self, which: int, off: int, delay_s: int) -> None:
        job_id = self.pick(which)
        attempt = self.attempt(job_id, off)
        done = self.store.release(job_id, attempt, waiting_for="Dagster", delay_s=delay_s, now_ms=self.now)
        self.changed(done, job_id, self.model.release(job_id, attempt, "Dagster", delay_s * 1000, self.now))

    @precondition(HAS_JOBS)
    @rule(which=WHICH, off=ATTEMPTS)
    def dispatched(self, which: int, off: int) -> None:
        job_id = self.pick(which)
        attempt = self.attempt(job_id, off)
        done = self.store.dispatched(job_id, attempt, now_ms=self.now)
        self.changed(done, job_id, self.model.dispatched(job_id, attempt, self.now))

    @precondition(HAS_JOBS)
    @rule(which=WHICH, off=ATTEMPTS)
    def started(self, which: int, off: int) -> None:
        job_id = self.pick(which)
        attempt = self.attempt(job_id, off)
        done = self.store.started(job_id, attempt, now_ms=self.now)
        self.changed(done, job_id, self.model.started(job_id, attempt, self.now))

    @precondition(HAS_JOBS)
    @rule(
        which=WHICH,
        off=ATTEMPTS,
        new=st.fixed_dictionaries(
            {},
            optional={
                "percent": st.sampled_from([0.0, 12.5, 99.0]),
                "step": st.sampled_from(["read", "write"]),
                "result": st.just({"rows": 3}),
            },
        ),
    )
    def report(self, which: int, off: int, new: dict) -> None:
        job_id = self.pick(which)
        attempt = self.attempt(job_id, off)
        signal = self.store.report(job_id, attempt, now_ms=self.now, **new)
        assert (signal.is_current, signal.is_cancel_requested) == self.model.report(job_id, attempt, self.now, **new)

    @precondition(HAS_JOBS)
    @rule(which=WHICH, off=ATTEMPTS, result=st.sampled_from([None, {"rows": 9}]))
    def succeed(self, which: int, off: int, result: dict | None) -> None:
        job_id = self.pick(which)
        attempt = self.attempt(job_id, off)
        done = self.store.succeed(job_id, attempt, result=result, now_ms=self.now)
        self.changed(done, job_id, self.model.succeed(job_id, attempt, result, self.now))

    @precondition(HAS_JOBS)
    @rule(
        which=WHICH,
        off=ATTEMPTS,
        code=st.sampled_from(["STEP_FAILURE", "STEP_FAILURE", "DISPATCH_FAILED"]),
        may_retry=st.booleans(),
    )
    def fail(self, which: int, off: int, code: str, may_retry: bool) -> None:
        job_id = self.pick(which)
        attempt = self.attempt(job_id, off)
        done = self.store.fail(job_id, attempt, code, "it broke", may_retry=may_retry, now_ms=self.now)
        self.changed(done, job_id, self.model.fail(job_id, attempt, code, self.now, may_retry=may_retry))

    @precondition(HAS_JOBS)
    @rule(which=WHICH, off=ATTEMPTS)
    def end_canceled(self, which: int, off: int) -> None:
        job_id = self.pick(which)
        attempt = self.attempt(job_id, off)
        done = self.store.end_canceled(job_id, attempt, now_ms=self.now)
        self.changed(done, job_id, self.model.end_canceled(job_id, attempt, self.now))

    @precondition(HAS_JOBS)
    @rule(which=WHICH, off=st.sampled_from([-1, -1, -1, 0]))
    def adopt(self, which: int, off: int) -> None:
        job_id = self.pick(which)
        attempt = self.attempt(job_id, off)
        done = self.store.adopt(job_id, attempt, "dagsters-own", now_ms=self.now)
        self.changed(done, job_id, self.model.adopt(job_id, attempt, "dagsters-own", self.now))

    @precondition(HAS_JOBS)
    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        job_id = self.pick(which)
        job = self.store.cancel(job_id, now_ms=self.now)
        self.model.cancel(job_id, self.now)
        self.same(job, job_id)

    @rule()
    def sweep(self) -> None:
        swept = {job.id for job in self.store.sweep(now_ms=self.now)}
        assert swept == self.model.sweep(GAP_S * 1000, self.now)

    @precondition(HAS_JOBS)
    @rule(happens=RARELY)
    def lose_redis(self, happens: bool) -> None:
        if not happens:
            return
        jobs = self.store.get_many(self.model.jobs)
        documents = [job.as_document() for job in sorted(jobs, key=lambda job: (job.created_ms, job.id))]
        for key in self.client.scan_iter(f"{self.prefix}*", count=1000):
            self.client.delete(key)
        assert all(self.store.restore(Job.from_document(each), now_ms=self.now) for each in documents)
        self.model.lose_and_restore(self.now)
        assert not self.store.restore(jobs[0], now_ms=self.now)

    @invariant()
    def documents_agree(self) -> None:
        for job, job_id in zip(self.store.get_many(self.model.jobs), self.model.jobs, strict=True):
            self.same(job, job_id)

    @invariant()
    def indexes_agree(self) -> None:
        jobs = self.model.jobs.values()
        live = {job.id for job in jobs if job.is_live}
        expected = {
            "live": live,
            "deadlines": live,
            "all": set(self.model.jobs),
            "claimed": {job.id for job in jobs if job.claimed_until_ms is not None},
            "ready_since": {job.id for job in jobs if job.is_ready},
            "delayed": {job.id for job in self.model.waiting() if not job.is_ready and job.claimed_until_ms is None},
        }
        pipe = self.client.pipeline(transaction=False)
        for key in expected:
            pipe.zrange(self.prefix + key, 0, -1)
        slots = list(itertools.product(TENANTS, KINDS, SLOTS))
        for tenant, kind, key in slots:
            pipe.get(f"{self.prefix}joins:{kind}:{len(tenant)}:{tenant}{key}")
        pipe.zrange(f"{self.prefix}turns", 0, -1)
        for tenant in TENANTS:
            pipe.scard(f"{self.prefix}flying:tenant:{tenant}").hget(f"{self.prefix}backlog", tenant)
            pipe.zcard(f"{self.prefix}all:{tenant}")
        replies = iter(pipe.execute())
        assert {key: {member.decode() for member in next(replies)} for key in expected} == expected
        slot_ids = {slot: job_id.decode() for slot in slots if (job_id := next(replies)) is not None}
        assert slot_ids == self.model.slots
        turns = sorted(self.model.turns, key=self.model.turns.__getitem__)
        assert [tenant.decode() for tenant in next(replies)] == turns
        for tenant in TENANTS:
            assert next(replies) == self.model.flying(tenant=tenant)
            assert int(next(replies) or 0) == len(self.model.waiting(tenant))
            assert next(replies) == sum(job.submission.tenant == tenant for job in jobs)

    def figures_agree(self) -> None:
        stats = self.store.stats(now_ms=self.now)
        assert stats.depth == self.model.depth()
        assert round(stats.oldest_queued_age_s * 1000) == self.model.oldest_age_ms(self.now)
        counts = self.model.counts
        assert stats.finished == {key[1:]: value for key, value in counts.items() if key[0] == "finished"}
        for name, figures in (("attempts", stats.attempts), ("forced", stats.forced), ("late", stats.late_outcomes)):
            assert figures == {key[1]: value for key, value in counts.items() if key[0] == name}
        seen = {}
        for (name, kind), histogram in stats.histograms.items():
            seen[name, kind, "count"], seen[name, kind, "sum"] = histogram.count, round(histogram.total_s * 1000)
        assert seen == self.model.observed

    def events_agree(self) -> None:
        for job in self.model.jobs.values():
            events = [(event.seq, event.type, event.state.value, event.attempt) for event in self.store.events(job.id)]
            assert events == job.events
            steps = [JobState(state) for _, what, state, _ in events if what == "state"]
            for before, after in itertools.pairwise(steps):
                assert after in TRANSITIONS[before]

    def teardown(self) -> None:
        self.figures_agree()
        self.events_agree()
        self.store.close()


def test_random_operations_agree_with_the_model(client):
    Jobs.client = client
    run_state_machine_as_test(
        Jobs,
        settings=settings(
            max_examples=_EXAMPLES, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


# Hypothesis shrinks what it finds, but draws short lives that end soon; a walk goes where most jobs spend their time.
def _walk_one_step(jobs: Jobs, luck: random.Random) -> None:
    pick = luck.randrange(12)
    off = luck.choice([0] * 8 + [-1, 1])
    move = luck.choices(
        ["time", "submit", "again", "claim", "goes_on", "release", "dispatched", "started", "report", "adopt", "sweep", "end", "lose"],
        [14, 14, 2, 14, 16, 8, 8, 8, 8, 8, 8, 6, 0.3],
    )[0]  # fmt: skip
    if move == "time":
        jobs.time_passes(seconds=luck.choice([0.001, 1, 3, 5, 9.999, 10, 15, 20, 40]))
    elif move == "claim":
        caps = luck.choice([{}, {}, {"x": luck.randrange(4)}, {"x": 1, "y": 2}])
        jobs.claim(limit=luck.randrange(1, 6), per_tenant=luck.randrange(5), caps=caps, ttl_s=luck.choice([5, 15]))
    elif move == "sweep":
        jobs.sweep()
    elif move == "submit" or not jobs.model.jobs:
        if sum(job.is_live for job in jobs.model.jobs.values()) < 10:
            jobs.submit(
                spans=luck.choice(SPANS),
                kind=luck.choice(KINDS),
                tenant=luck.choice(TENANTS),
                priority=luck.randint(-2, 2),
                delay_s=luck.choice([0, 0, 0, 7.5]),
                coalesce_key=luck.choice([None, *SLOTS]),
                idempotency_key=luck.choice([None, None, None, f"k{luck.randrange(40)}"]),
                fingerprint=luck.choice("fffg"),
                max_attempts=luck.randint(1, 3),
                retry_delay_s=luck.choice([0, 3]),
            )
    elif move == "again":
        jobs.submit_again(which=pick)
    elif move == "goes_on":
        jobs.goes_on(which=pick, steps=luck.randint(1, 4))
    elif move == "release":
        jobs.release(which=pick, off=off, delay_s=luck.choice([0, 4]))
    elif move == "report":
        jobs.report(which=pick, off=off, new=luck.choice([{}, {"percent": 12.5}, {"step": "a", "result": {"rows": 3}}]))
    elif move == "adopt":
        jobs.adopt(which=pick, off=luck.choice([-1, -1, -1, 0]))
    elif move == "lose":
        jobs.lose_redis(happens=True)
    elif move == "end":
        end = luck.choice(["succeed", "fail", "fail", "end_canceled", "cancel", "cancel"])
        more = {
            "succeed": {"off": off, "result": luck.choice([None, {"rows": 9}])},
            "fail": {
                "off": off,
                "code": luck.choice(["STEP_FAILURE", "DISPATCH_FAILED"]),
                "may_retry": luck.random() < 0.8,
            },
            "end_canceled": {"off": off},
            "cancel": {},
        }[end]
        getattr(jobs, end)(which=pick, **more)
    else:
        getattr(jobs, move)(which=pick, off=off)


@pytest.mark.parametrize("seed", range(_WALKS))
def test_a_long_walk_agrees_with_the_model(client, seed):
    Jobs.client = client
    jobs, luck = Jobs(), random.Random(seed)
    for step in range(600):
        _walk_one_step(jobs, luck)
        if step % 10 == 0:
            jobs.documents_agree()
            jobs.indexes_agree()
    jobs.teardown()
