"""The job-status store: jobs in Redis whose status is fast, final and never stuck. `docs/jobs.md` describes it.

`JobStore` is for threads, `AsyncJobStore` for asyncio; both have the same operations.
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
from background_jobs.store.job import Caps, Change, Claim, Ending, Job, Page, Signal, Submitted
from background_jobs.store.options import JobStoreOptions
from background_jobs.store.states import ENDED, LIVE, TRANSITIONS, FailureCode, JobState
from background_jobs.store.stats import Histogram, JobCollector, JobStats, families
from background_jobs.store.store import JobStore
from background_jobs.store.submission import Deadlines, Submission, new_job_id, run_id_of

__all__ = [
    "ENDED",
    "LIVE",
    "TRANSITIONS",
    "AsyncJobStore",
    "Caps",
    "Change",
    "Claim",
    "Deadlines",
    "Ending",
    "FailureCode",
    "Histogram",
    "IdempotencyConflictError",
    "Job",
    "JobCollector",
    "JobError",
    "JobEvent",
    "JobState",
    "JobStats",
    "JobStore",
    "JobStoreOptions",
    "JobStoreUnavailableError",
    "JobUsageError",
    "Page",
    "QueueFullError",
    "Signal",
    "Submission",
    "Submitted",
    "families",
    "new_job_id",
    "run_id_of",
]
