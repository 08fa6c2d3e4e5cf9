"""Claim jobs and launch their runs. Safe to repeat, to interrupt, and to run in several bridges: one attempt is one run."""

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from background_jobs.dagster_bridge.dagster_client import DagsterClient, RunState
from background_jobs.dagster_bridge.run_tags import (
    JOB_ATTEMPT,
    JOB_ID,
    JOB_KIND,
    JOB_RECORD,
    JOB_TENANT,
    PARENT_RUN,
    WILL_RETRY,
)
from background_jobs.errors import DagsterUnavailableError, KindError, RunRefusedError
from background_jobs.kinds import get_kind
from background_jobs.store import Caps, Claim, FailureCode, Job, JobState, JobStore

_logger = logging.getLogger(__name__)

# A claim that is not dispatched within this time is open to other bridges.
_CLAIM_TTL_S = 15.0
_BATCH_JOBS = 20
# Launching a run is mostly waiting for Dagster's code server and storage.
_THREADS = 4
_RELEASE_DELAY_S = 1.0
# How long after a failure Dagster's own retry is awaited, before another attempt is launched here.
_DAGSTER_RETRY_TIMEOUT_S = 30.0


class Dispatcher:
    """Claims jobs and launches runs for them.

    Args:
        store: the job store.
        dagster: Dagster's runs.
        caps: how many jobs may be in flight.
    """

    def __init__(self, store: JobStore, dagster: DagsterClient, caps: Caps) -> None:
        self._store = store
        self._dagster = dagster
        self._caps = caps
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dispatch")
        # What an earlier bridge recorded is unknown, so the first step records it again.
        self._waiting_reason: str | None = "unknown"

    def close(self) -> None:
        """Wait for the launches in progress."""
        self._threads.shutdown()

    def step(self) -> int:
        """Claim jobs that may start, and launch their runs; return the number of claimed jobs.

        Raises:
            JobStoreUnavailableError: Redis does not answer.
        """
        claims = self._store.claim(limit=_BATCH_JOBS, caps=self._caps, ttl_s=_CLAIM_TTL_S)
        if not claims:
            return 0
        reasons = [reason for reason in self._threads.map(self.dispatch, claims) if reason is not None]
        # All waiting jobs show the last job's reason.
        self._record_waiting(reasons[-1] if reasons else None)
        return len(claims)

    def dispatch(self, claim: Claim) -> str | None:
        """Launch one job's run; return the reason if the job has to wait for Dagster, else None."""
        job = claim.job
        try:
            if claim.attempt > 1 and job.run_id is not None and self._leave_to_dagster(claim, job.run_id):
                return None
            kind = get_kind(job.kind)
            self._dagster.launch_run(
                job_name=kind.job_name,
                run_id=claim.run_id,
                run_config=kind.run_config(job.tenant, job.params),
                tags=attempt_tags(claim),
            )
        except DagsterUnavailableError as error:
            self._store.release(job.id, claim.attempt, waiting_for=str(error), delay_s=_RELEASE_DELAY_S)
            return str(error)
        except (RunRefusedError, KindError) as error:
            _logger.warning("job %s (%s) can't be dispatched: %s", job.id, job.kind, error)
            self._store.fail(job.id, claim.attempt, FailureCode.DISPATCH_FAILED, str(error), may_retry=False)
            return None
        change = self._store.dispatched(job.id, claim.attempt)
        if not change.applied and change.job is not None and _is_obsolete(change.job, claim):
            # The job was canceled while its run was being launched.
            self._dagster.request_cancel(claim.run_id)
        return None

    def _leave_to_dagster(self, claim: Claim, last_run_id: str) -> bool:
        """Release the claim if Dagster retries the last run by itself, and adopt its retry; return whether it does."""
        last_run = self._dagster.get_run(last_run_id)
        if last_run is None or last_run.tags.get(WILL_RETRY) != "true":
            return False
        retries = self._dagster.runs_with_tag(PARENT_RUN, last_run.run_id)
        if not retries and not self._is_recent(last_run):
            return False
        self._store.release(
            claim.job.id, claim.attempt, waiting_for="Dagster's automatic retry", delay_s=_RELEASE_DELAY_S
        )
        if retries:
            self._store.adopt(claim.job.id, claim.attempt - 1, retries[0].run_id)
        return True

    @staticmethod
    def _is_recent(run: RunState) -> bool:
        return run.ended_ms is not None and time.time() - run.ended_ms / 1000 < _DAGSTER_RETRY_TIMEOUT_S

    def _record_waiting(self, reason: str | None) -> None:
        if reason == self._waiting_reason:
            return
        self._store.set_waiting(reason)
        if reason is not None:
            _logger.warning("jobs are waiting: %s", reason)
        self._waiting_reason = reason


def attempt_tags(claim: Claim) -> dict[str, str]:
    """Return the tags of an attempt's run; see `background_jobs.dagster_bridge.run_tags`."""
    job = claim.job
    return {
        JOB_ID: job.id,
        JOB_KIND: job.kind,
        JOB_TENANT: job.tenant,
        JOB_ATTEMPT: str(claim.attempt),
        JOB_RECORD: json.dumps(job.as_document()),
    }


def _is_obsolete(job: Job, claim: Claim) -> bool:
    return job.is_ended or job.state is JobState.CANCELING or job.attempt != claim.attempt
