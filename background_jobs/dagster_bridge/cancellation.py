"""End the runs of jobs that were canceled, or whose deadline has passed, as the job store's events tell."""

from collections.abc import Iterable

from background_jobs.dagster_bridge.dagster_client import DagsterClient
from background_jobs.dagster_bridge.run_terminator import RunTerminator
from background_jobs.store import FailureCode, Job, JobEvent, JobState, JobStore, run_id_of

# After these codes the run may still be alive. A run that ended by itself can have them too; then nothing happens.
_DEADLINE_CODES = {FailureCode.WORKER_LOST, FailureCode.START_TIMEOUT, FailureCode.DEADLINE_EXCEEDED}


def end_unneeded_runs(
    store: JobStore, dagster: DagsterClient, terminator: RunTerminator, events: Iterable[JobEvent]
) -> None:
    """End the runs of jobs that were canceled, were failed by a deadline, or go on to another attempt.

    Raises:
        JobStoreUnavailableError: Redis does not answer.
        DagsterUnavailableError: Dagster's storage does not answer; the reconciler ends the runs later.
    """
    for event in events:
        if event.type != "state":
            continue
        if event.state is JobState.CANCELING:
            job = store.get(event.job_id)
            if job is not None and job.state is JobState.CANCELING:
                cancel_run(store, dagster, terminator, job)
        elif event.state is JobState.FAILED and event.code in _DEADLINE_CODES:
            terminator.terminate(run_id_of(event.job_id, event.attempt))
        elif event.state is JobState.RETRYING and event.code in _DEADLINE_CODES:
            terminator.terminate(run_id_of(event.job_id, event.attempt - 1))


def cancel_run(store: JobStore, dagster: DagsterClient, terminator: RunTerminator, job: Job) -> None:
    """End the run of a canceling job; if there is no run, end the job."""
    if job.run_id is None or dagster.get_run(job.run_id) is None:
        store.end_canceled(job.id, job.attempt)
    else:
        terminator.terminate(job.run_id, at_once=True)
