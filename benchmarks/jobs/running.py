"""Measure real Dagster runs on the local stack: the delay until a client sees an event, and whether every job succeeds.

Times are the clock's of this one machine: Dagster's event carries when it was noted, the client notes when it read the change
from its stream.
"""

import asyncio
import os
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import redis

from background_jobs.dagster_bridge.dispatcher import attempt_tags
from background_jobs.store import Caps, Claim, Deadlines, JobState, JobStore, Submission
from benchmarks.jobs.environment import Api, now_ms
from benchmarks.report import Figure, Report
from local_stack.environment import dagster_environment

ENDING_TOGETHER = 100
BOUND_MS = 500.0
_TENANTS = 20
_LONG_S = 3_600.0
# Nobody works on these runs, so nobody gives a sign of life.
_PATIENT = Deadlines(lease_s=0, start_s=600)
_EVENTS = {JobState.RUNNING: "PIPELINE_START", JobState.SUCCEEDED: "PIPELINE_SUCCESS"}
# job id and state to when a client saw it, Unix ms
Seen = dict[tuple[str, str], float]


def measure_soak(report: Report, api: Api, *, jobs: int, within_s: float) -> None:
    """Submit small jobs over HTTP, have Dagster do them, and follow them as their tenants' pages do."""
    tenants = [f"tenant-{uuid.uuid4().hex[:8]}" for _ in range(_TENANTS)]
    started_at = time.monotonic()
    seen, ids = asyncio.run(_soak(api, tenants, jobs, within_s))
    seconds = time.monotonic() - started_at
    with _store(api) as store:
        ended = [job for start in range(0, jobs, 500) for job in store.get_many(ids[start : start + 500]) if job]
    states = [job.state for job in ended]
    failed = states.count(JobState.FAILED)
    stuck = jobs - failed - states.count(JobState.SUCCEEDED)
    repeated = sum(job.attempt > 1 for job in ended)
    lags = _lags(api, seen, {job.run_id: job.id for job in ended if job.run_id})
    spans = [((job.ended_ms or 0) - job.created_ms) / 1000 for job in ended if job.ended_ms]
    note = f"{jobs} real runs of hello_world by {_TENANTS} tenants, submitted at once, in {seconds:.0f} s; {repeated} took a second attempt"
    report.add(
        Figure("failed jobs, real runs", failed, "jobs", bound=0, note=note),
        Figure("stuck jobs, real runs", stuck, "jobs", bound=0),
        Figure("jobs a minute, real runs", jobs / seconds * 60, "1/min"),
        Figure("submission to end, p50, real runs", statistics.median(spans), "s"),
        Figure(
            "Dagster's event to a client's stream, p95, real runs",
            statistics.quantiles(lags, n=100)[94],
            "ms",
            bound=BOUND_MS,
            note=f"{len(lags)} events; p50 {statistics.median(lags):.0f} ms, slowest {max(lags):.0f} ms",
        ),
    )


def measure_burst(report: Report, api: Api, home: Path) -> None:
    """Measure a hundred runs that end at the same moment, with events of Dagster's own and no work."""
    tenants = [f"tenant-{uuid.uuid4().hex[:8]}" for _ in range(_TENANTS)]
    os.environ.update(
        dagster_environment(home=home, storage_url=api.settings.url("dagster_url"), redis_url=api.redis_url)
    )
    with _store(api) as store, dg.DagsterInstance.from_config(str(home)) as instance:
        claims = _take(store, tenants)
        for claim in claims:
            instance.create_run_for_job(_nothing, run_id=claim.run_id, tags=attempt_tags(claim))
            store.dispatched(claim.job.id, claim.attempt)
        seen, took_s = asyncio.run(_end_together(api, instance, tenants, claims))
    lags = _lags(api, seen, {claim.run_id: claim.job.id for claim in claims}, states=[JobState.SUCCEEDED])
    missing = ENDING_TOGETHER - len(lags)
    assert missing <= ENDING_TOGETHER // 2, f"{missing} of {ENDING_TOGETHER} endings were seen by no client"
    note = f"noted within {took_s:.2f} s; p50 {statistics.median(lags):.0f} ms, slowest {max(lags):.0f} ms"
    report.add(
        Figure("endings of 100 at once that no client saw", missing, "jobs", bound=0),
        Figure(
            "Dagster's event to a client's stream, p95, 100 runs ending together",
            statistics.quantiles(lags, n=100)[94],
            "ms",
            bound=BOUND_MS,
            note=note,
        ),
    )


@dg.op
def _do_nothing() -> None:
    pass


@dg.job
def _nothing() -> None:
    _do_nothing()


async def _soak(api: Api, tenants: Sequence[str], jobs: int, within_s: float) -> tuple[Seen, list[str]]:
    document = {"kind": "hello_world", "params": {"steps": 2, "step_seconds": 0}}
    ids: list[str] = []
    async with _following(api, tenants) as seen:
        for number in range(jobs):
            tenant = tenants[number % len(tenants)]
            async with await api.connect() as connection:
                answer = await connection.post("/api/jobs", document, api.credential(tenant))
            assert answer.status == 202, answer.body
            ids.append(answer.json()["id"])
        await _until(lambda: sum(_has_ended(seen, job_id) for job_id in ids) == jobs, within_s)
    return seen, ids


async def _end_together(
    api: Api, instance: dg.DagsterInstance, tenants: Sequence[str], claims: Sequence[Claim]
) -> tuple[Seen, float]:
    """Note the starts, wait until clients have seen them, then note the endings as fast as Dagster's storage takes them."""

    def note(event_type: dg.DagsterEventType) -> float:
        def one(claim: Claim) -> None:
            event = dg.DagsterEvent(event_type_value=event_type.value, job_name=_nothing.name)
            instance.report_dagster_event(event, claim.run_id)

        started_at = time.monotonic()
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(one, claims))
        return time.monotonic() - started_at

    async with _following(api, tenants) as seen:
        await asyncio.to_thread(note, dg.DagsterEventType.RUN_START)
        await _until(lambda: all((claim.job.id, JobState.RUNNING) in seen for claim in claims), 120)
        took_s = await asyncio.to_thread(note, dg.DagsterEventType.RUN_SUCCESS)
        await _until(lambda: all(_has_ended(seen, claim.job.id) for claim in claims), 120)
    return seen, took_s


def _take(store: JobStore, tenants: Sequence[str]) -> list[Claim]:
    """Jobs that this benchmark dispatches itself: they may start in an hour, and its clock is an hour ahead."""
    expected_ids = {
        store.submit(
            Submission(
                kind="hello_world",
                tenant=tenants[number % len(tenants)],
                params={},
                delay_s=_LONG_S,
                deadlines=_PATIENT,
            )
        ).job.id
        for number in range(ENDING_TOGETHER)
    }
    later = int((time.time() + _LONG_S + 60) * 1000)
    claims = store.claim(limit=1000, caps=Caps(per_tenant=1000), ttl_s=60, now_ms=later)
    assert {claim.job.id for claim in claims} == expected_ids
    return claims


@asynccontextmanager
async def _following(api: Api, tenants: Sequence[str]) -> AsyncIterator[Seen]:
    """Follow all jobs of the tenants while the block lasts."""
    seen: Seen = {}

    async def one(tenant: str) -> None:
        async with await api.connect() as connection:
            async for _, kind, data in connection.events("/api/jobs/events", api.credential(tenant)):
                if kind == "state":
                    seen.setdefault((data["job_id"], data["state"]), now_ms())

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(tenant)) for tenant in tenants]
        try:
            yield seen
        finally:
            for task in tasks:
                task.cancel()


def _lags(
    api: Api, seen: Seen, jobs_of_runs: dict[str, str], states: Sequence[JobState] = tuple(_EVENTS)
) -> list[float]:
    """Return the delay from each of Dagster's events to the following client, in ms."""
    lags: list[float] = []
    with psycopg.connect(api.settings.url("dagster_url"), prepare_threshold=None) as storage:
        rows = storage.execute(
            "SELECT run_id, dagster_event_type, extract(EPOCH FROM timestamp) * 1000 FROM event_logs WHERE run_id = any(%s)"
            " AND dagster_event_type = any(%s)",
            [list(jobs_of_runs), [_EVENTS[state] for state in states]],
        ).fetchall()
    event_times: dict[tuple[str, str], Any] = {(run_id, event_type): at_ms for run_id, event_type, at_ms in rows}
    for run_id, job_id in jobs_of_runs.items():
        for state in states:
            at_ms, seen_ms = event_times.get((run_id, _EVENTS[state])), seen.get((job_id, state))
            if at_ms is not None and seen_ms is not None:
                lags.append(seen_ms - float(at_ms))
    return lags


def _has_ended(seen: Seen, job_id: str) -> bool:
    return any((job_id, state) in seen for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED))


async def _until(condition: Callable[[], bool], within_s: float) -> None:
    """Wait; what is not there in time is counted by the caller."""
    ends_at = time.monotonic() + within_s
    while not condition() and time.monotonic() < ends_at:  # noqa: ASYNC110 (what is waited for is many streams' doing)
        await asyncio.sleep(0.05)


class _store:  # noqa: N801 (a context, as contextlib's own)
    def __init__(self, api: Api) -> None:
        self._store = JobStore(redis.Redis.from_url(api.redis_url))

    def __enter__(self) -> JobStore:
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()
