"""Does jobs as the bridge and a run would, one step at a time, on the store itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from background_jobs.store import Caps, Claim, Job, JobState, JobStore, Submission

_NO_CAPS = Caps(per_tenant=100_000)


class Worker:
    """Claims whatever waits, and takes those jobs on that it is told to."""

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self._claims: dict[str, Claim] = {}

    @classmethod
    @contextmanager
    def on(cls, port: int) -> Iterator["Worker"]:
        store = JobStore(redis.Redis(port=port))
        try:
            yield cls(store)
        finally:
            store.close()

    def submit(self, tenant: str, kind: str = "hello_world", **options: Any) -> Job:
        return self.store.submit(Submission(kind=kind, tenant=tenant, **{"params": {}, **options})).job

    def claim(self, job_id: str) -> int:
        """Claim it (and whatever waits before it); give the attempt."""
        while job_id not in self._claims:
            claims = self.store.claim(limit=1_000, caps=_NO_CAPS, ttl_s=3_600)
            assert claims, f"job {job_id} can't be claimed: {self.store.get(job_id)}"
            self._claims |= {claim.job.id: claim for claim in claims}
        return self._claims.pop(job_id).attempt

    def dispatch(self, job_id: str) -> int:
        attempt = self.claim(job_id)
        assert self.store.dispatched(job_id, attempt).applied
        return attempt

    def start(self, job_id: str) -> int:
        attempt = self.dispatch(job_id)
        assert self.store.started(job_id, attempt).applied
        return attempt

    def finish(self, job_id: str, *, reports: int = 0, result: dict[str, Any] | None = None) -> Job:
        """Do all of it."""
        attempt = self.start(job_id)
        for number in range(reports):
            self.store.report(job_id, attempt, percent=100 * number / reports, step=f"step {number}")
        outcome = self.store.succeed(job_id, attempt, result=result)
        assert outcome.applied
        return self.job(job_id)

    def bring_to(self, state: JobState, job_id: str) -> Job:
        """Bring a queued job into a state."""
        if state is JobState.QUEUED:
            return self.job(job_id)
        if state is JobState.DISPATCHED:
            self.dispatch(job_id)
        elif state is JobState.RUNNING:
            self.start(job_id)
        elif state is JobState.RETRYING:
            self.store.fail(job_id, self.start(job_id), "WORKER_LOST", "its worker is gone")
        elif state is JobState.CANCELING:
            self.start(job_id)
            self.store.cancel(job_id)
        elif state is JobState.SUCCEEDED:
            self.finish(job_id)
        elif state is JobState.FAILED:
            self.store.fail(job_id, self.start(job_id), "STEP_FAILURE", "a step has failed", may_retry=False)
        else:
            self.store.cancel(job_id)
        job = self.job(job_id)
        assert job.state is state
        return job

    def job(self, job_id: str) -> Job:
        job = self.store.get(job_id)
        assert job is not None
        return job
