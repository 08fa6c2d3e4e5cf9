"""Translate the state of a Dagster run into calls of the job store: the one place that knows both vocabularies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from background_jobs.dagster_bridge.dagster_client import DagsterClient, RunFailure, RunState
from background_jobs.dagster_bridge.run_tags import JOB_ATTEMPT, JOB_RESULT, RETRY_NUMBER, WILL_RETRY
from background_jobs.store import FailureCode, Job, JobState, JobStore

# Dagster's monitoring fails a run whose process it can't see. The lease knows better: the process may be alive and report.
_UNSEEN = "Detected run worker status"
_OVERDUE = ("Exceeded maximum runtime", "This job is being forcibly marked as failed")

# Dagster's reason: our code, and whether another attempt may help.
_CODES = {
    "STEP_FAILURE": (FailureCode.STEP_FAILURE, False),
    "RUN_EXCEPTION": (FailureCode.STEP_FAILURE, False),
    "JOB_INITIALIZATION_FAILURE": (FailureCode.DISPATCH_FAILED, True),
    "START_TIMEOUT": (FailureCode.START_TIMEOUT, True),
    "RUN_WORKER_RESTART": (FailureCode.WORKER_LOST, True),
    "UNEXPECTED_TERMINATION": (FailureCode.WORKER_LOST, True),
}


@dataclass(frozen=True)
class RunOutcome:
    """What Dagster has recorded about a run.

    Attributes:
        run_id: Dagster's id of the run.
        status: STARTED, SUCCESS, FAILURE or CANCELED; any other status changes nothing.
        at_ms: when Dagster recorded it (Unix milliseconds); None where unknown.
        attempt: the job's attempt by the run's tags; None for a retry by Dagster, whose tags are its parent's.
        result: the result that the run left in its tags.
        will_retry: whether Dagster retries the run by itself; None while undecided, or where it never does.
    """

    run_id: str
    status: str
    at_ms: int | None = None
    attempt: int | None = None
    result: dict[str, Any] | None = None
    will_retry: bool | None = None

    @classmethod
    def from_run(cls, run: RunState) -> "RunOutcome":
        """Return what a run's present state says."""
        return cls(
            run_id=run.run_id,
            status=run.status,
            at_ms=run.ended_ms if run.is_ended else run.started_ms,
            attempt=None if RETRY_NUMBER in run.tags else int(run.tags.get(JOB_ATTEMPT, "1")),
            result=json.loads(run.tags[JOB_RESULT]) if JOB_RESULT in run.tags else None,
            will_retry=run.tags[WILL_RETRY] == "true" if WILL_RETRY in run.tags else None,
        )

    @classmethod
    def from_event(cls, row: Mapping[str, Any], status: str) -> "RunOutcome":
        """Return what a row of `dagster_events.job_events` says."""
        return cls(
            run_id=row["run_id"],
            status=status,
            at_ms=row["at_ms"],
            attempt=int(row["attempt"]) if row["attempt"] is not None and row["retry_number"] is None else None,
            result=json.loads(row["result"]) if row["result"] is not None else None,
            will_retry=None if row["will_retry"] is None else row["will_retry"] == "true",
        )


def apply_run_outcome(store: JobStore, dagster: DagsterClient, job: Job, outcome: RunOutcome) -> None:
    """Update the job by its run's outcome. Repeating it is safe, also late: final states never change.

    Raises:
        JobStoreUnavailableError: Redis does not answer.
        DagsterUnavailableError: Dagster's storage does not answer.
    """
    is_current = job.run_id == outcome.run_id and job.state is not JobState.RETRYING
    attempt = job.attempt if is_current else outcome.attempt
    if attempt is None:
        return
    match outcome.status:
        case "STARTED":
            store.started(job.id, attempt, event_ms=outcome.at_ms)
        case "SUCCESS":
            store.succeed(job.id, attempt, result=outcome.result, event_ms=outcome.at_ms)
        case "CANCELED":
            # By the job's cancellation, or in Dagster's UI.
            store.end_canceled(job.id, attempt, event_ms=outcome.at_ms)
        case "FAILURE":
            if not outcome.will_retry:
                _fail(store, job, attempt, dagster.run_failure(outcome.run_id), at_ms=outcome.at_ms)
        case _:
            pass


def adopt_retry(store: JobStore, dagster: DagsterClient, job_id: str, *, run_id: str, parent_run_id: str) -> None:
    """Make Dagster's own retry of a failed run the job's next attempt; cancel the run where that is not possible."""
    job = store.get(job_id)
    if job is not None and job.run_id == run_id:
        return
    if job is not None and job.run_id == parent_run_id and job.state is not JobState.RETRYING and not job.is_ended:
        job = _fail(store, job, job.attempt, dagster.run_failure(parent_run_id), at_ms=None, is_retried=True)
    if job is not None and job.state is JobState.RETRYING:
        change = store.adopt(job_id, job.attempt - 1, run_id)
        if change.applied:
            return
        job = change.job
    if job is not None:
        dagster.request_cancel(run_id)


def _fail(
    store: JobStore, job: Job, attempt: int, failure: RunFailure, *, at_ms: int | None, is_retried: bool = False
) -> Job | None:
    """Fail an attempt by Dagster's reason, and return the job after that.

    Args:
        store: the job store.
        job: the job before that.
        attempt: the attempt that failed.
        failure: Dagster's reason and message.
        at_ms: when Dagster recorded it (Unix milliseconds).
        is_retried: whether Dagster already retries the run, so that another attempt is as good as begun.
    """
    if not is_retried and failure.message.startswith(_UNSEEN) and job.deadlines.lease_s > 0:
        return job
    code, may_retry = _CODES.get(failure.reason, (FailureCode.STEP_FAILURE, False))
    if failure.message.startswith(_OVERDUE):
        code, may_retry = FailureCode.DEADLINE_EXCEEDED, False
    elif failure.message.startswith(_UNSEEN):
        code, may_retry = FailureCode.WORKER_LOST, True
    elif not failure.reason and job.started_ms is None:
        code, may_retry = FailureCode.DISPATCH_FAILED, True
    return store.fail(job.id, attempt, code, failure.message, may_retry=may_retry or is_retried, event_ms=at_ms).job
