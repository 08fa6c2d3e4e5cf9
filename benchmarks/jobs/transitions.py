"""Run random operations of many writers on shared jobs, and check that each job's history is legal."""

import itertools
import multiprocessing
import random
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import redis

from background_jobs.store import (
    ENDED,
    LIVE,
    TRANSITIONS,
    Caps,
    FailureCode,
    Job,
    JobState,
    JobStore,
    JobStoreOptions,
    Submission,
)
from benchmarks.report import Figure, Report

WRITERS = 8
_CAPS = Caps(per_tenant=100_000)
_TENANTS = 4
_POOL = 40
# A writer looks again which jobs are live; meanwhile it goes by what it knew, as callers do.
_LOOK_EVERY = 20
_PREFIX = "bench:{transitions}:"


def measure_transitions(report: Report, port: int, *, transitions: int) -> None:
    """Let eight processes work, then read every job's events."""
    started_at = time.monotonic()
    with ProcessPoolExecutor(WRITERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        job_ids = list(pool.map(partial(_write, port, -(-transitions // WRITERS)), range(WRITERS)))
    ids = sorted({job_id for each in job_ids for job_id in each})
    counted, illegal = _check(port, ids)
    assert counted >= transitions, f"{counted} transitions of {transitions}"
    seconds = time.monotonic() - started_at
    for line in illegal[:10]:
        print(f"    ILLEGAL {line}")
    note = f"{counted:,} transitions of {len(ids):,} jobs by {WRITERS} writers"
    report.add(
        Figure("illegal transitions of random operations", len(illegal), "transitions", bound=0, note=note),
        Figure("transitions of random operations, checking included", counted / seconds, "1/s"),
    )


def _store(port: int) -> JobStore:
    return JobStore(redis.Redis(port=port), JobStoreOptions(prefix=_PREFIX, timeout_s=30.0, queued_per_tenant=100_000))


def _write(port: int, share: int, number: int) -> list[str]:
    """Run one writer's random operations on shared jobs until its share of changes is reached; return the ids it submitted."""
    chance = random.Random(number)
    store = _store(port)
    job_ids: list[str] = []
    shared: list[Job] = []
    changes = operations = 0
    while changes < share:
        if operations % _LOOK_EVERY == 0:
            shared = list(store.list(limit=_POOL, states=LIVE).jobs)
        operations += 1
        if len(shared) < _POOL:
            submitted = store.submit(_submission(chance))
            job_ids.append(submitted.job.id)
            shared.append(submitted.job)
        else:
            changes += _change(store, chance, chance.choice(shared))
    store.close()
    return job_ids


def _submission(chance: random.Random) -> Submission:
    return Submission(
        kind="hello_world",
        tenant=f"t{chance.randrange(_TENANTS)}",
        params={},
        max_attempts=chance.randint(1, 4),
        retry_delay_s=0,
        coalesce_key="one" if chance.random() < 0.1 else None,
    )


def _change(store: JobStore, chance: random.Random, job: Job) -> int:
    """Do something to a job, with an attempt that may be the current one or not; give how many states changed."""
    changes = 0
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
            for claim in store.claim(limit=4, caps=_CAPS, ttl_s=chance.choice((0.001, 5))):
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
            changes += len(store.sweep(limit=1, now_ms=int((time.time() + chance.uniform(0, 120)) * 1000)))
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
