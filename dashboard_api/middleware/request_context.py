"""The outermost middleware: request id, access log line, latency metric, and a plain 500 for unexpected errors."""

import json
import logging
import random
import re
import time
from contextvars import ContextVar
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard_api.errors import ProblemError
from dashboard_api.metrics import ApiMetrics

PROBLEM_MEDIA_TYPE = "application/problem+json"
request_id: ContextVar[str] = ContextVar("request_id", default="-")
_PLAIN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEADER = b"x-request-id"
_HOOKS = "/api/hooks/"

# Named for readers of the log, not after this module.
_access_logger = logging.getLogger("dashboard_api.access")


class AccessLine(NamedTuple):
    """One request's log line: its fixed fields are formatted in a third of the time that arbitrary ones take."""

    method: str
    path: str
    status: int
    ms: float
    subject: str | None

    def __str__(self) -> str:
        return "request"


class RequestContextMiddleware:
    """Give each request an id (the client's `X-Request-ID` if it is plain), log it and measure it."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own_id = _client_id(scope) or f"{random.getrandbits(64):016x}"
        header = (_HEADER, own_id.encode())
        reset_token = request_id.set(own_id)
        started_at = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            _access_logger.exception("unexpected error", extra={"path": _loggable_path(scope["path"])})
            if status:
                # The response has begun: the server closes the connection on an error, which is all that is left to do.
                raise
            await _send_500(send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started_at)
            request_id.reset(reset_token)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "(none)"
        state = scope.get("state", {})
        # The time that a stream was open, or that the client asked to wait, is not latency.
        seconds = max(0.0, seconds - state.get("waited_s", 0.0))
        self._metrics.observe_request(route, scope["method"], status, seconds)
        path = _loggable_path(scope["path"])
        _access_logger.info(AccessLine(scope["method"], path, status, round(seconds * 1000, 2), state.get("subject")))


def problem_document(problem: ProblemError) -> dict[str, Any]:
    """Return the problem document (RFC 9457) of an error in the current request.

    `type` is relative, so that it names no host; docs/dashboard-api.md and docs/jobs-api.md list the types.
    """
    document: dict[str, Any] = {
        "type": f"/problems/{problem.kind}",
        "title": problem.title,
        "status": problem.status,
        "detail": str(problem),
        "request_id": request_id.get(),
    }
    return document if problem.errors is None else {**document, "errors": problem.errors}


def _client_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == _HEADER:
            return value.decode() if _PLAIN_ID.fullmatch(value) else None
    return None


def _loggable_path(path: str) -> str:
    # A hook's path contains its token, a secret.
    return f"{_HOOKS}…" if path.startswith(_HOOKS) else path


async def _send_500(send: Send) -> None:
    problem = ProblemError("an unexpected error occurred; the server log has it under this request id")
    headers = [(b"content-type", PROBLEM_MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(problem_document(problem)).encode()})
