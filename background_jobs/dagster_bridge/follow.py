"""Act on the jobs' own events: a cancellation stops the run, and so does a deadline that was enforced on it."""

from collections.abc import Iterable

from background_jobs.dagster_bridge.runs import Runs
from background_jobs.dagster_bridge.stopper import Stopper
from background_jobs.store import FailureCode, Job, JobEvent, JobState, JobStore, run_id_of

# A deadline that was enforced: the run may go on. Where it ended by itself, these codes stand too, and nothing is done.
_FORCED = {FailureCode.WORKER_LOST, FailureCode.START_TIMEOUT, FailureCode.DEADLINE_EXCEEDED}


def follow(store: JobStore, runs: Runs, stopper: Stopper, events: Iterable[JobEvent]) -> None:
    """Stop the runs of jobs that were canceled, failed by a deadline, or go on to another attempt.

    Raises:
        JobStoreUnavailableError: Redis is away.
        DagsterAwayError: Dagster's storage is away; the reconciliation does it later.
    """
    for event in events:
        if event.type != "state":
            continue
        if event.state is JobState.CANCELING:
            job = store.get(event.job_id)
            if job is not None and job.state is JobState.CANCELING:
                stop_canceled(store, runs, stopper, job)
        elif event.state is JobState.FAILED and event.code in _FORCED:
            stopper.want(run_id_of(event.job_id, event.attempt))
        elif event.state is JobState.RETRYING and event.code in _FORCED:
            stopper.want(run_id_of(event.job_id, event.attempt - 1))


def stop_canceled(store: JobStore, runs: Runs, stopper: Stopper, job: Job) -> None:
    """Stop the run of a job that is to be canceled; end the job where there is none."""
    if job.run_id is None or runs.get(job.run_id) is None:
        store.end_canceled(job.id, job.attempt)
    else:
        stopper.want(job.run_id, at_once=True)
