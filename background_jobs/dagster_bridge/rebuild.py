"""Fill Redis again after its data were lost: from the archive in the warehouse, and from the tags of Dagster's runs."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from background_jobs.dagster_bridge.archive import archived_jobs
from background_jobs.dagster_bridge.run_tags import JOB_ATTEMPT, JOB_ID, JOB_RECORD, RETRY_NUMBER, parse_json
from background_jobs.dagster_bridge.runs import Runs, RunState
from background_jobs.store import Job, JobState, JobStore
from dbconnect.error_mapping import mapped_errors
from dbconnect.routes import Connection

_LOG = logging.getLogger(__name__)

# Ended jobs are looked for in the archive, but for those of the last day, which lists show.
_ENDED_DAYS = 1
_RUNS_AT_MOST = 5_000


def rebuild(store: JobStore, runs: Runs, warehouse: Connection, *, now: datetime | None = None) -> int | None:
    """Put back what is known of jobs where Redis has lost its data; give how many, None where it has them.

    Repeating it, also by two bridges at once, does no harm: what is there stays.

    Raises:
        JobStoreUnavailableError: Redis is away.
        UnavailableError: the warehouse or Dagster's storage is away.
    """
    if store.epoch() is not None:
        return None
    since = (now or datetime.now(UTC)) - timedelta(days=_ENDED_DAYS)
    with mapped_errors("reading the archived jobs"):
        known = {job.id: job for job in archived_jobs(warehouse, ended_since=since)}
    for run in runs.with_tag(JOB_ID, limit=_RUNS_AT_MOST):
        job = _job_of(run)
        if job is not None and (job.id not in known or _is_further(job, known[job.id])):
            known[job.id] = job if job.id not in known else _continued(known[job.id], job)
    restored = sum(store.restore(job) for job in sorted(known.values(), key=lambda each: (each.created_ms, each.id)))
    store.begin_epoch()
    if restored:
        _LOG.warning("Redis had lost its data: %d jobs were put back", restored)
    return restored


def _job_of(run: RunState) -> Job | None:
    """Give the job of a run as it was when the run was made; None where the tags do not tell."""
    record = parse_json(run.tags, JOB_RECORD)
    if record is None or RETRY_NUMBER in run.tags:
        return None
    try:
        job = Job.from_document(record)
        attempt = int(run.tags[JOB_ATTEMPT])
    except (KeyError, TypeError, ValueError):
        _LOG.warning("run %s: its tags do not tell of a job", run.run_id)
        return None
    # Whatever became of the run, the reconciliation sees it next.
    return replace(
        job,
        state=JobState.DISPATCHED,
        attempt=attempt,
        run_id=run.run_id,
        dispatched_ms=run.created_ms,
        claimed_until_ms=None,
        waiting_for=None,
    )


def _is_further(job: Job, archived: Job) -> bool:
    """Whether the run's attempt is one that the archive has not seen begin."""
    if archived.is_ended:
        return False
    waits = archived.state in {JobState.QUEUED, JobState.RETRYING}
    return job.attempt > archived.attempt or (job.attempt == archived.attempt and waits)


def _continued(archived: Job, job: Job) -> Job:
    return replace(
        archived,
        state=JobState.DISPATCHED,
        attempt=job.attempt,
        run_id=job.run_id,
        dispatched_ms=job.dispatched_ms,
        claimed_until_ms=None,
        waiting_for=None,
    )
