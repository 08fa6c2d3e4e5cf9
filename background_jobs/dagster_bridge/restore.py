"""Restore the job store after Redis has lost its data: from the archive in the warehouse, and the tags of Dagster's runs."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from background_jobs.dagster_bridge.archive import archived_jobs
from background_jobs.dagster_bridge.dagster_client import DagsterClient, RunState
from background_jobs.dagster_bridge.run_tags import JOB_ATTEMPT, JOB_ID, JOB_RECORD, RETRY_NUMBER, parse_json
from background_jobs.store import Job, JobState, JobStore
from dbconnect.error_mapping import mapped_errors
from dbconnect.routes import Connection

_logger = logging.getLogger(__name__)

# Jobs that ended earlier are read from the archive; lists show those of the last day.
_ENDED_DAYS = 1
_RUNS_MAX = 5_000


def restore_jobs(
    store: JobStore, dagster: DagsterClient, warehouse: Connection, *, now: datetime | None = None
) -> int | None:
    """Restore the jobs if Redis has lost its data; return their number, None if it has not.

    Safe to repeat, and to run in two bridges at once: jobs that exist stay as they are.

    Raises:
        JobStoreUnavailableError: Redis does not answer.
        UnavailableError: the warehouse or Dagster's storage does not answer.
    """
    if store.epoch() is not None:
        return None
    since = (now or datetime.now(UTC)) - timedelta(days=_ENDED_DAYS)
    with mapped_errors("reading the archived jobs"):
        jobs = {job.id: job for job in archived_jobs(warehouse, ended_since=since)}
    for run in dagster.runs_with_tag(JOB_ID, limit=_RUNS_MAX):
        job = _job_from_tags(run)
        if job is not None and (job.id not in jobs or _is_further(job, jobs[job.id])):
            jobs[job.id] = job if job.id not in jobs else _with_run(jobs[job.id], job)
    count = sum(store.restore(job) for job in sorted(jobs.values(), key=lambda each: (each.created_ms, each.id)))
    store.begin_epoch()
    if count:
        _logger.warning("Redis had lost its data: restored %d jobs", count)
    return count


def _job_from_tags(run: RunState) -> Job | None:
    """Return the job of a run as it was when the run was launched; None if the tags do not suffice."""
    record = parse_json(run.tags, JOB_RECORD)
    if record is None or RETRY_NUMBER in run.tags:
        return None
    try:
        job = Job.from_document(record)
        attempt = int(run.tags[JOB_ATTEMPT])
    except (KeyError, TypeError, ValueError):
        _logger.warning("run %s: its tags contain no valid job", run.run_id)
        return None
    # The reconciler then applies the run's outcome.
    return _with_run(job, replace(job, attempt=attempt, run_id=run.run_id, dispatched_ms=run.created_ms))


def _is_further(job: Job, archived: Job) -> bool:
    """Whether the archive was written before the run's attempt began."""
    if archived.is_ended:
        return False
    is_waiting = archived.state in {JobState.QUEUED, JobState.RETRYING}
    return job.attempt > archived.attempt or (job.attempt == archived.attempt and is_waiting)


def _with_run(archived: Job, job: Job) -> Job:
    """Return the archived job with the other's attempt and run, dispatched."""
    return replace(
        archived,
        state=JobState.DISPATCHED,
        attempt=job.attempt,
        run_id=job.run_id,
        dispatched_ms=job.dispatched_ms,
        claimed_until_ms=None,
        waiting_for=None,
    )
