"""The job store's errors."""

from __future__ import annotations

from typing import Literal


class JobError(Exception):
    """The base of the job store's errors."""


class JobStoreUnavailableError(JobError):
    """Redis did not answer, or answered with an error; the call may have been executed. It is safe to repeat."""


class JobUsageError(JobError, ValueError):
    """An invalid argument: too large, not JSON, out of range; the message says which value, and what is allowed."""


class IdempotencyConflictError(JobError):
    """The idempotency key was used for another request.

    Attributes:
        job_id: the job that was created with the key.
    """

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(
            f"this idempotency key was used for another request (job {job_id}): use a new key for each request"
        )


class QueueFullError(JobError):
    """The queue of a tenant, or of all tenants, is full.

    Attributes:
        scope: "tenant" for this tenant's queue, "all" for the queue of all tenants.
        retry_after_s: when to try again, in seconds.
    """

    def __init__(self, scope: Literal["tenant", "all"], limit: int, retry_after_s: float) -> None:
        self.scope = scope
        self.limit = limit
        self.retry_after_s = retry_after_s
        queue = "the tenant's job queue" if scope == "tenant" else "the job queue of all tenants"
        super().__init__(f"{queue} is full ({limit:,} waiting): retry in {retry_after_s:g} s")
