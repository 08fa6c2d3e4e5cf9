"""Many writers at once: exactly one of each thing happens, and every step that is seen is a legal one."""

import asyncio
import itertools
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import redis.asyncio

from background_jobs.store import ENDED, TRANSITIONS, AsyncJobStore, Caps, Deadlines, FailureCode, JobState
from tests.background_jobs.store.conftest import PATIENT, T0, running, states, submission

WRITERS, TRANSITIONS_EACH, JOBS = 8, 3_125, 1_000
WIDE = Caps(per_tenant=10_000)


def test_of_50_racing_submits_with_one_idempotency_key_one_makes_a_job(store):
    start = threading.Barrier(10)

    def five(_: int) -> list:
        start.wait()
        return [store.submit(submission(idempotency_key="order-7", fingerprint="f")) for _ in range(5)]

    with ThreadPoolExecutor(10) as threads:
        done = [each for five_of_them in threads.map(five, range(10)) for each in five_of_them]
    assert Counter(each.outcome for each in done) == {"created": 1, "replayed": 49}
    assert len({each.job.id for each in done}) == 1


def test_500_submissions_while_one_runs_create_exactly_one_follow_up(store):
    first = running(store, kind="refresh", coalesce_key="all")
    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(lambda _: store.submit(submission("refresh", coalesce_key="all")), range(500)))
    assert Counter(each.outcome for each in done) == {"created": 1, "joined": 499}
    [follow_up] = {each.job.id for each in done}
    assert follow_up != first.id
    assert store.get(follow_up).joined == 499
    assert [claim.job.id for claim in store.claim(limit=100)] == [follow_up]


def test_a_submission_after_the_claim_creates_a_job_unless_the_claim_was_released(store):
    first = store.submit(submission(coalesce_key="k"), now_ms=T0).job
    store.claim(limit=1, ttl_s=10, now_ms=T0)
    # The claim lapses: its run may have been launched all the same, so nobody may join it.
    store.sweep(now_ms=T0 + 11_000)
    second = store.submit(submission(coalesce_key="k"), now_ms=T0 + 11_000)
    assert second.outcome == "created"
    store.cancel(second.job.id)
    store.claim(limit=1, now_ms=T0 + 12_000)
    store.release(first.id, 1, waiting_for="Dagster is away", delay_s=1, now_ms=T0 + 12_000)
    assert store.submit(submission(coalesce_key="k"), now_ms=T0 + 12_000).job.id == first.id


def test_racing_dispatchers_never_claim_the_same(make_store):
    stores = [make_store() for _ in range(4)]
    for number in range(300):
        stores[0].submit(submission(tenant=f"t{number % 7}"))

    def drain(store) -> list[str]:
        return [claim.job.id for _ in range(40) for claim in store.claim(limit=5, caps=WIDE, ttl_s=600)]

    with ThreadPoolExecutor(4) as threads:
        claimed = [job_id for ids in threads.map(drain, stores) for job_id in ids]
    assert len(claimed) == len(set(claimed)) == 300


def test_an_expired_claim_is_claimed_again_with_the_same_run_id(store):
    job = store.submit(submission(), now_ms=T0).job
    [first] = store.claim(limit=1, ttl_s=5, now_ms=T0)
    assert store.claim(limit=1, now_ms=T0 + 4_999) == []
    [second] = store.claim(limit=1, ttl_s=5, now_ms=T0 + 5_000)
    assert (second.job.id, second.attempt, second.run_id) == (job.id, 1, first.run_id)
    assert store.dispatched(job.id, 1).applied
    # The first dispatcher comes back late: it launched the same run, so nothing is to be done.
    late = store.dispatched(job.id, 1)
    assert (late.applied, late.job.state, late.job.run_id) == (False, JobState.DISPATCHED, first.run_id)


class Writer:
    """Random calls on random jobs, most of them wrong for the state that the job is in."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.applied = 0

    def call(self, ids: list[str]) -> tuple[str, tuple, dict]:
        job_id, attempt = self.random.choice(ids), self.random.choice([1, 1, 1, 2, 2, 3])
        name = self.random.choices(
            ["claim", "dispatched", "started", "report", "succeed", "fail", "end_canceled", "cancel", "release", "adopt", "sweep"],
            [3, 8, 8, 5, 3, 5, 1, 1, 2, 1, 0.3],
        )[0]  # fmt: skip
        if name == "claim":
            return name, (), {"limit": 10, "caps": WIDE, "ttl_s": self.random.choice([0.001, 5])}
        if name == "sweep":
            return name, (), {}
        if name == "cancel":
            return name, (job_id,), {}
        more = {
            "report": {"percent": float(self.random.randrange(100))},
            "fail": {"code": self.random.choice(list(FailureCode)), "message": "it broke"},
            "release": {"waiting_for": "a code server", "delay_s": 0},
            "adopt": {"run_id": "dagsters-own"},
        }
        return name, (job_id, attempt), more.get(name, {})

    def note(self, answer: object) -> None:
        self.applied += bool(getattr(answer, "applied", False))


def test_25_000_random_calls_of_8_writers_take_only_legal_steps(make_store, server):
    store = make_store()
    quick = Deadlines(queue_s=3600, start_s=3600, lease_s=3600, cancel_s=0.05)
    make = lambda number: submission(  # noqa: E731
        tenant=f"t{number % 5}", max_attempts=3, retry_delay_s=0, deadlines=quick
    )
    ids = [store.submit(make(number)).job.id for number in range(JOBS)]
    writers = [Writer(seed) for seed in range(WRITERS)]

    def in_a_thread(writer: Writer) -> None:
        own = make_store()
        for _ in range(TRANSITIONS_EACH):
            name, positional, named = writer.call(ids)
            writer.note(getattr(own, name)(*positional, **named))

    def in_a_loop(pair: list[Writer]) -> None:
        async def one(own: AsyncJobStore, writer: Writer) -> None:
            for _ in range(TRANSITIONS_EACH):
                name, positional, named = writer.call(ids)
                writer.note(await getattr(own, name)(*positional, **named))

        async def both() -> None:
            own = AsyncJobStore(redis.asyncio.Redis(port=server.port), PATIENT)
            await asyncio.gather(*(one(own, writer) for writer in pair))
            await own.aclose()

        asyncio.run(both())

    with ThreadPoolExecutor(5) as threads:
        done = [threads.submit(in_a_thread, writer) for writer in writers[:4]]
        done.append(threads.submit(in_a_loop, writers[4:]))
        for each in done:
            each.result()

    assert sum(writer.applied for writer in writers) > 2_000
    state_counts = Counter()
    jobs = [job for start in range(0, JOBS, 1000) for job in store.get_many(ids[start : start + 1000])]
    for job in jobs:
        events = store.events(job.id)
        assert [event.seq for event in events] == list(range(1, job.seq + 1))
        steps = [event.state for event in events if event.type == "state"]
        assert steps[0] is JobState.QUEUED
        for before, after in itertools.pairwise(steps):
            assert after in TRANSITIONS[before], (before, after)
        assert sum(step in ENDED for step in steps) == job.is_ended
        assert steps[-1] is job.state is events[-1].state
        attempts = [event.attempt for event in events]
        assert attempts == sorted(attempts)
        state_counts.update(set(steps))
    assert set(state_counts) == set(JobState)
    stats = store.stats()
    assert sum(stats.finished.values()) == sum(job.is_ended for job in jobs)
    assert stats.depth == Counter((job.kind, job.state) for job in jobs if not job.is_ended)


def test_one_tenants_crowd_does_not_delay_another(store):
    for number in range(50):
        store.submit(submission(tenant="crowd", params={"n": number}))
    for tenant in ("b", "c"):
        store.submit(submission(tenant=tenant))
    claims = store.claim(limit=5, caps=Caps(per_tenant=3))
    assert [claim.job.tenant for claim in claims] == ["crowd", "b", "c", "crowd", "crowd"]
    assert [claim.job.params.get("n") for claim in claims if claim.job.tenant == "crowd"] == [0, 1, 2]
    assert store.claim(limit=5, caps=Caps(per_tenant=3)) == [], "the crowd is at its cap"
    assert states(store, claims[0].job.id) == ["queued"]
