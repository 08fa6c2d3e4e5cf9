"""The job-status store: jobs in Redis whose status is fast, final and never stuck. `docs/jobs.md` describes it.

`JobStore` is for threads, `AsyncJobStore` for asyncio; both have the same operations.
"""

from ratelimit_service.jobs.async_store import AsyncJobStore
from ratelimit_service.jobs.errors import (
    IdempotencyConflictError,
    JobError,
    JobStoreUnavailableError,
    JobUsageError,
    QueueFullError,
)
from ratelimit_service.jobs.event import JobEvent
from ratelimit_service.jobs.job import Caps, Change, Claim, Ending, Job, Page, Signal, Submitted
from ratelimit_service.jobs.options import JobStoreOptions
from ratelimit_service.jobs.states import ENDED, LIVE, TRANSITIONS, FailureCode, JobState
from ratelimit_service.jobs.stats import Histogram, JobCollector, JobStats, families
from ratelimit_service.jobs.store import JobStore
from ratelimit_service.jobs.submission import Deadlines, Submission, new_job_id, run_id_of

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
