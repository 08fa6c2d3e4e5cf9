"""What a run's state means for its job: the one place where Dagster's words become the job store's."""

import logging
from dataclasses import dataclass
from typing import Any

from background_jobs.dagster_bridge.runs import RunFailure, Runs
from background_jobs.store import FailureCode, Job, JobState, JobStore

_LOG = logging.getLogger(__name__)

# What Dagster says of its own accord about a run whose process it can't see. The lease knows better: the process that it gives up may go on,
# and its heartbeat with it.
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
class Outcome:
    """What Dagster says of a run.

    Attributes:
        run_id: of the run.
        status: STARTED, SUCCESS, FAILURE or CANCELED; others say nothing about the job.
        at_ms: when Dagster noted it (Unix time); None where that is not known.
        attempt: which one its tags name; None where they are another run's.
        result: what the run left.
        will_retry: whether Dagster repeats it by itself; None where that is not decided, or never happens.
    """

    run_id: str
    status: str
    at_ms: int | None = None
    attempt: int | None = None
    result: dict[str, Any] | None = None
    will_retry: bool | None = None


def attempt_of(job: Job, outcome: Outcome) -> int | None:
    """Give which attempt of the job the run is; None where it is none."""
    return job.attempt if job.run_id == outcome.run_id and job.state is not JobState.RETRYING else outcome.attempt


def settle(store: JobStore, runs: Runs, job: Job, outcome: Outcome) -> None:
    """Tell the job store what came of a run. May be repeated, and may come late: endings never change.

    Raises:
        JobStoreUnavailableError: Redis is away.
        DagsterAwayError: the storage is away.
    """
    attempt = attempt_of(job, outcome)
    if attempt is None:
        return
    match outcome.status:
        case "STARTED":
            store.started(job.id, attempt, event_ms=outcome.at_ms)
        case "SUCCESS":
            store.succeed(job.id, attempt, result=outcome.result, event_ms=outcome.at_ms)
        case "CANCELED":
            # Canceled here, or in Dagster's UI.
            store.end_canceled(job.id, attempt, event_ms=outcome.at_ms)
        case "FAILURE":
            if not outcome.will_retry:
                fail(store, job, attempt, runs.failure(outcome.run_id), at_ms=outcome.at_ms)
        case _:
            pass


def fail(
    store: JobStore, job: Job, attempt: int, failure: RunFailure, *, at_ms: int | None, is_repeated: bool = False
) -> Job | None:
    """End an attempt as failed, by Dagster's reason; give the job as it then is.

    Args:
        store: where the job is.
        job: as it was.
        attempt: which one failed.
        failure: why.
        at_ms: when Dagster noted it (Unix time).
        is_repeated: whether Dagster repeats the run by itself, so that another attempt is as good as begun.
    """
    if not is_repeated and failure.message.startswith(_UNSEEN) and job.deadlines.lease_s > 0:
        return job
    code, may_retry = _CODES.get(failure.reason, (FailureCode.STEP_FAILURE, False))
    if failure.message.startswith(_OVERDUE):
        code, may_retry = FailureCode.DEADLINE_EXCEEDED, False
    elif failure.message.startswith(_UNSEEN):
        code, may_retry = FailureCode.WORKER_LOST, True
    elif not failure.reason and job.started_ms is None:
        code, may_retry = FailureCode.DISPATCH_FAILED, True
    return store.fail(job.id, attempt, code, failure.message, may_retry=may_retry or is_repeated, event_ms=at_ms).job
