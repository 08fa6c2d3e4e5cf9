"""Compare every live job with its run, and every live run with its job: slow, and the reason that nothing is ever forgotten."""

import json
import logging
from collections.abc import Iterator

from background_jobs.dagster_bridge.follow import stop_canceled
from background_jobs.dagster_bridge.outcome import Outcome, settle
from background_jobs.dagster_bridge.pump import adopt_retry
from background_jobs.dagster_bridge.run_tags import (
    JOB_ATTEMPT,
    JOB_ID,
    JOB_RESULT,
    PARENT_RUN,
    RETRY_NUMBER,
    WILL_RETRY,
)
from background_jobs.dagster_bridge.runs import Runs, RunState
from background_jobs.dagster_bridge.stopper import Stopper
from background_jobs.store import Job, JobError, JobState, JobStore
from dbconnect.errors import SalespulseError

_LOG = logging.getLogger(__name__)

_WITH_A_RUN = (JobState.DISPATCHED, JobState.RUNNING, JobState.CANCELING)
_PAGE = 200
LIVE_RUNS = ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING")


def reconcile(store: JobStore, runs: Runs, stopper: Stopper) -> int:
    """Take in what no event has told; give how many live jobs were compared.

    Raises:
        JobStoreUnavailableError: Redis is away.
        DagsterAwayError: Dagster's storage is away.
    """
    compared = 0
    for jobs in _pages(store):
        found = {run.run_id: run for run in runs.get_many([job.run_id for job in jobs if job.run_id is not None])}
        for job in jobs:
            try:
                _compare_job(store, runs, stopper, job, found.get(job.run_id or ""))
            except (SalespulseError, JobError):
                raise
            except Exception:  # noqa: BLE001 - see below
                # One job that nobody foresaw must not hide the others.
                _LOG.exception("job %s can't be compared with its run", job.id)
        compared += len(jobs)
    for run in runs.with_tag(JOB_ID, statuses=LIVE_RUNS):
        _compare_run(store, runs, stopper, run)
    return compared


def outcome_of(run: RunState) -> Outcome:
    """Give what a run's present state says."""
    is_retry = RETRY_NUMBER in run.tags
    will_retry = run.tags.get(WILL_RETRY)
    return Outcome(
        run_id=run.run_id,
        status=run.status,
        at_ms=run.ended_ms if run.is_ended else run.started_ms,
        attempt=None if is_retry else int(run.tags.get(JOB_ATTEMPT, "1")),
        result=json.loads(run.tags[JOB_RESULT]) if JOB_RESULT in run.tags else None,
        will_retry=None if will_retry is None else will_retry == "true",
    )


def _compare_job(store: JobStore, runs: Runs, stopper: Stopper, job: Job, run: RunState | None) -> None:
    """Take in what the run has come to; see a cancellation through."""
    if run is not None and (run.is_ended or run.status == "STARTED"):
        settle(store, runs, job, outcome_of(run))
    if job.state is JobState.CANCELING and (run is None or not run.is_ended):
        stop_canceled(store, runs, stopper, job)


def _compare_run(store: JobStore, runs: Runs, stopper: Stopper, run: RunState) -> None:
    """Stop a run whose job has ended or has gone on to another attempt; adopt one that Dagster made by itself."""
    job = store.get(run.tags[JOB_ID])
    if job is None:
        return
    is_left = job.is_ended or job.state is JobState.RETRYING
    if job.run_id == run.run_id:
        if is_left:
            stopper.want(run.run_id)
    elif RETRY_NUMBER in run.tags and PARENT_RUN in run.tags:
        adopt_retry(store, runs, job.id, run_id=run.run_id, parent_run_id=run.tags[PARENT_RUN])
    elif job.is_ended or job.attempt > int(run.tags.get(JOB_ATTEMPT, "1")):
        stopper.want(run.run_id)


def _pages(store: JobStore) -> Iterator[list[Job]]:
    before = None
    while True:
        page = store.list(states=_WITH_A_RUN, limit=_PAGE, before=before)
        yield page.jobs
        if page.next is None:
            return
        before = page.next
