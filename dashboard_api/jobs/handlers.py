"""What the store raises, as problems."""

import logging

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from background_jobs.store import (
    IdempotencyConflictError,
    JobError,
    JobStoreUnavailableError,
    JobUsageError,
    QueueFullError,
)
from dashboard_api.errors import ParameterError, ProblemError
from dashboard_api.jobs.errors import IdempotencyError, JobsUnavailableError, QueueFullProblemError
from dashboard_api.problems import refuse

log = logging.getLogger(__name__)


def add_job_handlers(app: FastAPI) -> None:
    """Answer every error of the store with its problem."""
    app.add_exception_handler(JobError, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    return await refuse(request, problem_of(error))


def problem_of(error: Exception) -> ProblemError:
    """Give the problem that an error of the store is.

    Raises:
        Exception: the error itself, where nobody expected it.
    """
    if isinstance(error, JobStoreUnavailableError):
        # What it said may name hosts: the log has it, the caller doesn't.
        log.warning("jobs can't be reached: %s", error)
        return JobsUnavailableError("the jobs' store does not answer; dashboards go on; ask again")
    if isinstance(error, QueueFullError):
        return QueueFullProblemError(is_own=error.scope == "tenant", retry_after_s=error.retry_after_s)
    if isinstance(error, IdempotencyConflictError):
        return IdempotencyError("the key was used for another request; take a new key for a new request")
    if isinstance(error, JobUsageError):
        return ParameterError("request", str(error))
    raise error
