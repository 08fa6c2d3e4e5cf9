"""The job store's errors: one tree, beside the limiter's."""

from __future__ import annotations

from typing import Literal


class JobError(Exception):
    """The root: whatever goes wrong in the job store by its own account."""


class JobStoreUnavailableError(JobError):
    """Redis gave no answer, or not one of its own; whether the call was executed is not known. Calls may be repeated."""


class JobUsageError(JobError, ValueError):
    """A call that can't be meant: too large, not JSON, out of range; the message says which value and what is allowed."""


class IdempotencyConflictError(JobError):
    """The idempotency key belongs to a job whose request was another one.

    Attributes:
        job_id: the job that the key made.
    """

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(
            f"this idempotency key was used for job {job_id} with another request: use a new key for a new request"
        )


class QueueFullError(JobError):
    """As many jobs wait as may wait.

    Attributes:
        scope: "tenant" if it is this tenant's jobs, "all" if it is those of all.
        retry_after_s: when to try again, in seconds.
    """

    def __init__(self, scope: Literal["tenant", "all"], limit: int, retry_after_s: float) -> None:
        self.scope = scope
        self.retry_after_s = retry_after_s
        whose = "this tenant" if scope == "tenant" else "all tenants"
        super().__init__(f"{limit} jobs of {whose} wait already, the most allowed: retry in {retry_after_s:g} s")
