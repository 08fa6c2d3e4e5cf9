"""Every request gets an id, one log line and its place in the metrics; an error that nobody expected becomes a plain 500."""

import json
import logging
import random
import re
import time
from contextvars import ContextVar
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard_api.metrics import Metrics

request_id: ContextVar[str] = ContextVar("request_id", default="-")
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEADER = b"x-request-id"
_HOOKS = "/api/hooks/"

log = logging.getLogger("dashboard_api.access")


class AccessLine(NamedTuple):
    """One request's log line, whose form is known: written in a third of the time of one with fields of any kind."""

    method: str
    path: str
    status: int
    ms: float
    subject: str | None

    def __str__(self) -> str:
        return "request"


class RequestContext:
    """The outermost middleware. Takes the caller's `X-Request-ID` if it is plain; makes one otherwise."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, marked and measured."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own = _given_id(scope) or f"{random.getrandbits(64):016x}"
        header = (_HEADER, own.encode())
        mark = request_id.set(own)
        started = time.perf_counter()
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except Exception:
            log.exception("unexpected error", extra={"path": _shown(scope["path"])})
            if status:
                # Half an answer is out: closing the connection is all that is left, which the server does on an error.
                raise
            await _send_500(send_marked, own)
        finally:
            self._finish(scope, status, time.perf_counter() - started)
            request_id.reset(mark)

    def _finish(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "(none)"
        # Of a stream, or of an answer that was asked to wait: what is measured is the answering.
        seconds = max(0.0, seconds - scope.get("state", {}).get("waited_s", 0.0))
        self._metrics.observe_request(route, scope["method"], status, seconds)
        subject = scope.get("state", {}).get("subject")
        log.info(AccessLine(scope["method"], _shown(scope["path"]), status, round(seconds * 1000, 2), subject))


def _given_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == _HEADER:
            return value.decode() if _GIVEN_ID.fullmatch(value) else None
    return None


def _shown(path: str) -> str:
    # The token in a hook's address is a secret.
    return f"{_HOOKS}…" if path.startswith(_HOOKS) else path


async def _send_500(send: Send, own_id: str) -> None:
    document = {
        "type": "/problems/internal",
        "title": "Something went wrong here",
        "status": 500,
        "detail": "the log has the reason, under this request id",
        "request_id": own_id,
    }
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(document).encode()})
