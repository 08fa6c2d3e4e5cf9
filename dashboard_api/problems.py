"""Refusals as problem documents (RFC 9457): one shape, whatever refused."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import psycopg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dashboard_api.errors import NotReadyError, ParameterError, ProblemError
from dashboard_api.request_context import request_id
from dbconnect import SalespulseError

# Relative, so that it names no host: what each means stands in docs/dashboard-api.md under that name.
TYPE_PREFIX = "/problems/"
MEDIA_TYPE = "application/problem+json"

log = logging.getLogger(__name__)


def problem(
    status: int,
    kind: str,
    title: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
) -> Response:
    """Make the response of one refusal."""
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + kind,
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id.get(),
    }
    if errors is not None:
        document["errors"] = errors
    return Response(
        json.dumps(document, ensure_ascii=False),
        status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def add_handlers(app: FastAPI) -> None:
    """Answer every error that a handler may raise with its problem."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


async def refusal_of(request: Request, error: Exception) -> Response:
    """Give the problem of an error.

    Raises:
        Exception: that error, where it has none.
    """
    for kind, handler in _HANDLERS.items():
        if isinstance(error, kind):
            return await handler(request, error)
    raise error


async def refuse(request: Request, error: Exception) -> Response:
    """Give the problem of an error of ours."""
    del request
    if isinstance(error, ParameterError):
        errors = [{"field": error.field, "detail": error.reason}]
        return problem(error.status, error.kind, error.title, str(error), errors=errors)
    if isinstance(error, ProblemError):
        return problem(error.status, error.kind, error.title, str(error), headers=error.headers)
    # Of a server that can't be reached: what it said may name hosts, so that the log has it and the caller doesn't.
    log.warning("refused: %s", error)
    waiting = NotReadyError(
        "no database can answer just now", retry_after_s=getattr(error, "retry_after_s", None) or 2.0
    )
    return problem(waiting.status, waiting.kind, waiting.title, str(waiting), headers=waiting.headers)


async def _unavailable(request: Request, error: Exception) -> Response:
    del request
    log.warning("the database did not answer: %s", str(error).strip())
    is_slow = isinstance(error, psycopg.errors.QueryCanceled)
    waiting = NotReadyError(
        "the question took too long; ask for a shorter period" if is_slow else "no database can answer just now"
    )
    return problem(waiting.status, waiting.kind, waiting.title, str(waiting), headers=waiting.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    del request
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [{"field": _field(item["loc"]), "detail": str(item["msg"])} for item in found]
    detail = "; ".join(f"{item['field']}: {item['detail']}" for item in errors)
    return problem(ParameterError.status, ParameterError.kind, ParameterError.title, detail, errors=errors)


async def _http(request: Request, error: Exception) -> Response:
    del request
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    kind, title = {
        404: ("not-found", "There is nothing here"),
        405: ("method-not-allowed", "This can't be done here"),
    }.get(status, ("http-error", "The request can't be answered"))
    return problem(status, kind, title, str(getattr(error, "detail", "")), headers=headers)


_HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    SalespulseError: refuse,
    psycopg.OperationalError: _unavailable,
    RequestValidationError: _invalid,
    HTTPException: _http,
}


def _field(location: tuple[int | str, ...]) -> str:
    # Without "query", and without the alias's position where a list is meant.
    return ".".join(str(part) for part in location[1:]) or "query"
