"""Random operations by many writers on shared jobs: whatever they do, each job's history is a legal one."""

import itertools
import multiprocessing
import random
import time
from dataclasses import dataclass

import redis

from benchmarks.report import Figure, Report
from ratelimit_service.jobs import (
    ENDED,
    TRANSITIONS,
    Caps,
    FailureCode,
    JobState,
    JobStore,
    JobStoreOptions,
    Submission,
)

WRITERS = 8
_CAPS = Caps(per_tenant=100_000)
_TENANTS = 4
_POOL = 40
_PREFIX = "bench:{transitions}:"


@dataclass(frozen=True)
class Plan:
    port: int
    transitions: int


def measure_transitions(report: Report, port: int, *, transitions: int) -> None:
    """Let eight processes work, then read every job's events."""
    began = time.monotonic()
    counted = 0
    illegal: list[str] = []
    jobs = 0
    while counted < transitions:
        context = multiprocessing.get_context("spawn")
        share = (transitions - counted) // WRITERS + 1
        with redis.Redis(port=port) as client:
            client.flushall()
        with context.Pool(WRITERS) as pool:
            known = pool.starmap(_write, [(port, number, counted, share) for number in range(WRITERS)])
        ids = sorted({job_id for each in known for job_id in each})
        found, wrong = _check(port, ids)
        counted += found
        jobs += len(ids)
        illegal += wrong
    seconds = time.monotonic() - began
    for line in illegal[:10]:
        print(f"    ILLEGAL {line}")
    note = f"{counted:,} transitions of {jobs:,} jobs by {WRITERS} writers"
    report.add(
        Figure("illegal transitions of random operations", len(illegal), "transitions", bound=0, note=note),
        Figure("transitions of random operations, checking included", counted / seconds, "1/s"),
    )


def _store(port: int) -> JobStore:
    return JobStore(redis.Redis(port=port), JobStoreOptions(prefix=_PREFIX, timeout_s=30.0, queued_per_tenant=100_000))


def _write(port: int, number: int, seed: int, share: int) -> list[str]:
    """One writer: operations on a few jobs that all know, until it has seen its share of changes."""
    chance = random.Random(f"{seed} {number}")
    store = _store(port)
    known: list[str] = []
    changes = 0
    while changes < share:
        changes += _one(store, chance, known)
    store.close()
    return known


def _one(store: JobStore, chance: random.Random, known: list[str]) -> int:
    """Do something to some job, with an attempt that may be the current one or not; give how many states changed."""
    shared = store.list(limit=_POOL, states=[state for state in JobState if state not in ENDED]).jobs
    if len(shared) < _POOL:
        tenant = f"t{chance.randrange(_TENANTS)}"
        submission = Submission(
            kind="hello_world",
            tenant=tenant,
            params={},
            max_attempts=chance.randint(1, 4),
            retry_delay_s=0,
            coalesce_key="one" if chance.random() < 0.1 else None,
        )
        made = store.submit(submission)
        known.append(made.job.id)
        return made.outcome == "created"
    changes = 0
    job = chance.choice(shared)
    attempt = max(1, job.attempt + chance.choice((0, 0, 0, 0, 0, 0, -1, 1)))
    what = chance.choices(
        (
            "claim",
            "dispatched",
            "started",
            "report",
            "succeed",
            "fail",
            "end_canceled",
            "cancel",
            "adopt",
            "release",
            "sweep",
        ),
        (6, 8, 8, 3, 4, 4, 1, 1, 1, 1, 1),
    )[0]
    match what:
        case "claim":
            for claim in store.claim(most=4, caps=_CAPS, lease_s=chance.choice((0.001, 5))):
                changes += store.dispatched(claim.job.id, claim.attempt).applied
        case "dispatched":
            changes += store.dispatched(job.id, attempt).applied
        case "started":
            changes += store.started(job.id, attempt).applied
        case "report":
            store.report(job.id, attempt, percent=chance.uniform(0, 100))
        case "succeed":
            changes += store.succeed(job.id, attempt).applied
        case "fail":
            code = chance.choice(list(FailureCode)).value
            changes += store.fail(job.id, attempt, code, "no luck", may_retry=chance.random() < 0.8).applied
        case "end_canceled":
            changes += store.end_canceled(job.id, attempt).applied
        case "cancel":
            store.cancel(job.id)
        case "adopt":
            changes += store.adopt(job.id, attempt, f"run of {job.id}").applied
        case "release":
            store.release(job.id, attempt, waiting_for="luck", delay_s=0)
        case "sweep":
            changes += len(store.sweep(most=1, now_ms=int((time.time() + chance.uniform(0, 120)) * 1000)))
    return changes


def _check(port: int, ids: list[str]) -> tuple[int, list[str]]:
    """Count the transitions of the jobs, and give those that no job may make."""
    store = _store(port)
    transitions, wrong = 0, []
    for job_id in ids:
        events, job = store.events(job_id, limit=1000), store.get(job_id)
        assert job is not None, job_id
        if [event.seq for event in events] != list(range(1, job.seq + 1)):
            wrong.append(f"{job_id}: the sequence has a gap or a repetition")
        states = [event.state for event in events if event.type == "state"]
        if not states or states[0] is not JobState.QUEUED or states[-1] is not job.state:
            wrong.append(f"{job_id}: begins or ends otherwise than it should: {states}, now {job.state}")
        for before, after in itertools.pairwise(states):
            transitions += before is not after
            if before is not after and after not in TRANSITIONS[before]:
                wrong.append(f"{job_id}: {before} to {after}")
        ends = [place for place, event in enumerate(events) if event.state in ENDED]
        if ends and ends[0] != len(events) - 1:
            wrong.append(f"{job_id}: goes on after its end")
        if any(later.attempt < sooner.attempt for sooner, later in itertools.pairwise(events)):
            wrong.append(f"{job_id}: an attempt goes back")
    store.close()
    return transitions, wrong
