"""The job store: jobs and their states in Redis, behind scripts that each do all of an operation or nothing (docs/jobs.md).

`JobStore` is for threads, `AsyncJobStore` for asyncio; both have the same operations. Nothing here knows Dagster.
"""

from background_jobs.store.async_store import AsyncJobStore
from background_jobs.store.errors import (
    IdempotencyConflictError,
    JobError,
    JobStoreUnavailableError,
    JobUsageError,
    QueueFullError,
)
from background_jobs.store.event import JobEvent
from background_jobs.store.job import Caps, Claim, Job, JobChange, JobPage, ReportReply, SubmitResult
from background_jobs.store.options import JobStoreOptions
from background_jobs.store.states import ENDED, LIVE, TRANSITIONS, FailureCode, JobState
from background_jobs.store.stats import Histogram, JobCollector, JobStats, families
from background_jobs.store.store import JobStore
from background_jobs.store.submission import PRIORITY_MAX, Deadlines, Submission, new_job_id, run_id_of

__all__ = [
    "ENDED",
    "LIVE",
    "PRIORITY_MAX",
    "TRANSITIONS",
    "AsyncJobStore",
    "Caps",
    "Claim",
    "Deadlines",
    "FailureCode",
    "Histogram",
    "IdempotencyConflictError",
    "Job",
    "JobChange",
    "JobCollector",
    "JobError",
    "JobEvent",
    "JobPage",
    "JobState",
    "JobStats",
    "JobStore",
    "JobStoreOptions",
    "JobStoreUnavailableError",
    "JobUsageError",
    "QueueFullError",
    "ReportReply",
    "Submission",
    "SubmitResult",
    "families",
    "new_job_id",
    "run_id_of",
]
