"""Compare every live job with its run, and every live run with its job: slow, but it finds what events have missed."""

import logging
from collections.abc import Iterator

from background_jobs.dagster_bridge.cancellation import cancel_run
from background_jobs.dagster_bridge.dagster_client import DagsterClient, RunState
from background_jobs.dagster_bridge.run_outcome import RunOutcome, adopt_retry, apply_run_outcome
from background_jobs.dagster_bridge.run_tags import JOB_ATTEMPT, JOB_ID, PARENT_RUN, RETRY_NUMBER
from background_jobs.dagster_bridge.run_terminator import RunTerminator
from background_jobs.store import Job, JobError, JobState, JobStore
from dbconnect.errors import SalespulseError

_logger = logging.getLogger(__name__)

_STATES_WITH_RUN = (JobState.DISPATCHED, JobState.RUNNING, JobState.CANCELING)
_LIVE_STATUSES = ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING")
_BATCH_JOBS = 200


def reconcile_runs(store: JobStore, dagster: DagsterClient, terminator: RunTerminator) -> int:
    """Reconcile all live jobs and all live runs; return the number of jobs.

    Raises:
        JobStoreUnavailableError: Redis does not answer.
        DagsterUnavailableError: Dagster's storage does not answer.
    """
    count = 0
    for jobs in _batches(store):
        runs = {run.run_id: run for run in dagster.get_runs([job.run_id for job in jobs if job.run_id is not None])}
        for job in jobs:
            try:
                _reconcile_job(store, dagster, terminator, job, runs.get(job.run_id or ""))
            except (SalespulseError, JobError):
                raise
            except Exception:
                _logger.exception("job %s can't be compared with its run", job.id)
        count += len(jobs)
    for run in dagster.runs_with_tag(JOB_ID, statuses=_LIVE_STATUSES):
        _reconcile_run(store, dagster, terminator, run)
    return count


def _reconcile_job(
    store: JobStore, dagster: DagsterClient, terminator: RunTerminator, job: Job, run: RunState | None
) -> None:
    """Apply the run's outcome to the job; complete a cancellation."""
    if run is not None and (run.is_ended or run.status == "STARTED"):
        apply_run_outcome(store, dagster, job, RunOutcome.from_run(run))
    if job.state is JobState.CANCELING and (run is None or not run.is_ended):
        cancel_run(store, dagster, terminator, job)


def _reconcile_run(store: JobStore, dagster: DagsterClient, terminator: RunTerminator, run: RunState) -> None:
    """Terminate a run whose job has ended or is at another attempt; adopt a retry that Dagster began by itself."""
    job = store.get(run.tags[JOB_ID])
    if job is None:
        return
    if job.run_id == run.run_id:
        if job.is_ended or job.state is JobState.RETRYING:
            terminator.terminate(run.run_id)
    elif RETRY_NUMBER in run.tags and PARENT_RUN in run.tags:
        adopt_retry(store, dagster, job.id, run_id=run.run_id, parent_run_id=run.tags[PARENT_RUN])
    elif job.is_ended or job.attempt > int(run.tags.get(JOB_ATTEMPT, "1")):
        terminator.terminate(run.run_id)


def _batches(store: JobStore) -> Iterator[list[Job]]:
    cursor = None
    while True:
        page = store.list(states=_STATES_WITH_RUN, limit=_BATCH_JOBS, before=cursor)
        yield page.jobs
        if page.next is None:
            return
        cursor = page.next
