"""Measure many small jobs through store and dispatcher, with an in-process fake of Dagster's launcher."""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis

from background_jobs.dagster_bridge.dispatcher import Dispatcher
from background_jobs.dagster_bridge.run_tags import JOB_ATTEMPT, JOB_ID
from background_jobs.kinds import KINDS
from background_jobs.store import Caps, JobState, JobStore
from benchmarks.report import Figure, Report

_TENANTS = 50
_AT_ONCE = 8
_HOUR_MS = 3_600_000


class FakeDagsterClient:
    """Stands for Dagster: a run starts at once, reports twice and succeeds."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(_AT_ONCE)
        self._lock = threading.Lock()
        self.starts: Counter[str] = Counter()

    def launch_run(self, *, job_name: str, run_id: str, run_config: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        del job_name, run_config
        with self._lock:
            self.starts[run_id] += 1
        self._threads.submit(self._run, tags[JOB_ID], int(tags[JOB_ATTEMPT]))

    def request_cancel(self, run_id: str) -> None:
        """Ignore the request: it is about a run that ended before the dispatcher recorded it."""

    def close(self) -> None:
        self._threads.shutdown()

    def _run(self, job_id: str, attempt: int) -> None:
        self._store.started(job_id, attempt)
        self._store.report(job_id, attempt, percent=50, step="half")
        self._store.report(job_id, attempt, percent=100, result={"greeting": "hello"})
        self._store.succeed(job_id, attempt)


def measure_volume(report: Report, port: int, *, jobs: int) -> None:
    """Submit as fast as the dispatcher takes them, and look at what became of each."""
    store = JobStore(redis.Redis(port=port))
    dagster = FakeDagsterClient(store)
    dispatcher = Dispatcher(store, dagster, Caps(per_tenant=1000))  # type: ignore[arg-type]
    kind = KINDS["hello_world"]
    ids: list[str] = []
    started_at = time.monotonic()

    def submit() -> None:
        for number in range(jobs):
            submission = kind.submission(tenant=f"t{number % _TENANTS}", params={"steps": 1, "step_seconds": 0})
            # A tenant's queue is bounded: a caller that is refused comes again.
            while store.stats().depth.get((kind.name, JobState.QUEUED), 0) > 5_000:
                time.sleep(0.05)
            ids.append(store.submit(submission).job.id)

    submitting = threading.Thread(target=submit)
    submitting.start()
    while submitting.is_alive() or store.stats().depth:
        if not dispatcher.step():
            time.sleep(0.005)
        store.sweep()
    seconds = time.monotonic() - started_at
    dagster.close()
    dispatcher.close()
    ended = [job for start in range(0, jobs, 1000) for job in store.get_many(ids[start : start + 1000]) if job]
    states = Counter(job.state for job in ended)
    stuck = jobs - states[JobState.SUCCEEDED] - states[JobState.FAILED] - states[JobState.CANCELED]
    stuck += len(store.sweep(limit=1000, now_ms=int(time.time() * 1000) + _HOUR_MS))
    waits = [(job.ended_ms or 0) - job.created_ms for job in ended]
    store.close()
    note = f"{jobs:,} jobs of {_TENANTS} tenants in {seconds:.0f} s; a fake of Dagster's launcher in the process"
    report.add(
        Figure("failed of many small jobs, launcher faked", states[JobState.FAILED], "jobs", bound=0, note=note),
        Figure("stuck of many small jobs, launcher faked", stuck, "jobs", bound=0),
        Figure(
            "runs begun twice, launcher faked", sum(count > 1 for count in dagster.starts.values()), "runs", bound=0
        ),
        Figure("small jobs, launcher faked", jobs / seconds, "1/s"),
        Figure("submission to end, p50, launcher faked", statistics.median(waits), "ms"),
    )
