"""Turn errors into problem documents (RFC 9457): the same shape whatever raised."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping

import psycopg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from background_jobs.store import (
    IdempotencyConflictError,
    JobError,
    JobStoreUnavailableError,
    JobUsageError,
    QueueFullError,
)
from dashboard_api.errors import (
    IdempotencyKeyReusedError,
    InvalidParameterError,
    JobQueueFullError,
    JobsUnavailableError,
    NotReadyError,
    ProblemError,
)
from dashboard_api.middleware.request_context import PROBLEM_MEDIA_TYPE, problem_document
from dbconnect import SalespulseError

_logger = logging.getLogger(__name__)


def add_error_handlers(app: FastAPI) -> None:
    """Register a handler for each kind of error that an endpoint may raise."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


async def response_for(request: Request, error: Exception) -> Response:
    """Return an error's problem response.

    Raises:
        Exception: the error itself, where no handler is registered for it.
    """
    for kind, handler in _HANDLERS.items():
        if isinstance(error, kind):
            return await handler(request, error)
    raise error


def _respond(problem: ProblemError) -> Response:
    return Response(
        json.dumps(problem_document(problem), ensure_ascii=False),
        problem.status,
        headers={"Cache-Control": "no-store", **problem.headers},
        media_type=PROBLEM_MEDIA_TYPE,
    )


async def _own_error(request: Request, error: Exception) -> Response:
    del request
    if isinstance(error, ProblemError):
        return _respond(error)
    # The message may name hosts: log it, and don't show it to the client.
    _logger.warning("no database server available: %s", error)
    return _respond(
        NotReadyError("no database server is available", retry_after_s=getattr(error, "retry_after_s", None))
    )


async def _job_store_error(request: Request, error: Exception) -> Response:
    del request
    if isinstance(error, JobStoreUnavailableError):
        # The message may name hosts: log it, and don't show it to the client.
        _logger.warning("job store unavailable: %s", error)
        return _respond(JobsUnavailableError("the job store does not respond; retry later"))
    if isinstance(error, QueueFullError):
        is_tenant_limit = error.scope == "tenant"
        whose = "the tenant's job queue" if is_tenant_limit else "the job queue of all tenants"
        detail = f"{whose} is full ({error.limit:,} waiting); retry later"
        return _respond(JobQueueFullError(detail, is_tenant_limit=is_tenant_limit, retry_after_s=error.retry_after_s))
    if isinstance(error, IdempotencyConflictError):
        return _respond(IdempotencyKeyReusedError("the key was used for a different request; send a new key"))
    if isinstance(error, JobUsageError):
        return _respond(InvalidParameterError("request", str(error)))
    raise error


async def _database_error(request: Request, error: Exception) -> Response:
    del request
    _logger.warning("database query failed: %s", str(error).strip())
    is_slow = isinstance(error, psycopg.errors.QueryCanceled)
    return _respond(
        NotReadyError(
            "the query took too long; choose a shorter period" if is_slow else "no database server is available"
        )
    )


async def _validation_error(request: Request, error: Exception) -> Response:
    del request
    items = error.errors() if isinstance(error, RequestValidationError) else []
    # Without "query" or "body" in front.
    fields = [".".join(str(part) for part in item["loc"][1:]) or "query" for item in items]
    errors = [{"field": field, "detail": str(item["msg"])} for field, item in zip(fields, items, strict=True)]
    return _respond(InvalidParameterError.of_fields(errors))


async def _http_error(request: Request, error: Exception) -> Response:
    del request
    problem = ProblemError(str(getattr(error, "detail", "")))
    problem.status = error.status_code if isinstance(error, HTTPException) else 500
    problem.kind, problem.title = {
        404: ("not-found", "Not found"),
        405: ("method-not-allowed", "Method not allowed"),
    }.get(problem.status, ("http-error", "Request failed"))
    problem.headers = dict(getattr(error, "headers", None) or {})
    return _respond(problem)


_HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    SalespulseError: _own_error,
    JobError: _job_store_error,
    psycopg.OperationalError: _database_error,
    RequestValidationError: _validation_error,
    HTTPException: _http_error,
}
