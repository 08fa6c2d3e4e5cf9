"""The response that streams Server-Sent Events for as long as a job runs, no faster than the client reads."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dashboard_api.jobs.event_hub import Subscription, cancel_tasks

MEDIA_TYPE = "text/event-stream"
# How long a client may leave data unread, while there is more to send.
UNREAD_MAX_S = 20.0
RETRY_MS = 2_000
_LAST_CHUNK = {"type": "http.response.body", "body": b"", "more_body": False}

_logger = logging.getLogger(__name__)


class EventStream(Response):
    """Send what a generator yields, until it ends, the client disconnects or is too slow, or the process shuts down.

    Args:
        subscription: what the generator reads; entered and left here.
        chunks: the text to send; started after the subscription was entered.
        release: called when the stream has ended.
    """

    media_type = f"{MEDIA_TYPE}; charset=utf-8"

    def __init__(
        self, subscription: Subscription, chunks: AsyncGenerator[bytes, None], release: Callable[[], None]
    ) -> None:
        # No proxy may buffer it, and none may store it.
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, media_type=self.media_type)
        self.raw_headers = [field for field in self.raw_headers if field[0] != b"content-length"]
        self._subscription = subscription
        self._chunks = chunks
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        started_at = asyncio.get_running_loop().time()
        try:
            with self._subscription:
                await self._run(receive, send)
        finally:
            self._release()
            # The log and the metrics show the latency of responses, not how long clients listen.
            scope.setdefault("state", {})["waited_s"] = asyncio.get_running_loop().time() - started_at

    async def _run(self, receive: Receive, send: Send) -> None:
        writing = asyncio.create_task(self._write(send))
        disconnected = asyncio.create_task(_wait_for_disconnect(receive))
        ended = asyncio.create_task(self._subscription.ended.wait())
        try:
            await asyncio.wait((writing, disconnected, ended), return_when=asyncio.FIRST_COMPLETED)
            has_disconnected = disconnected.done()
        finally:
            await cancel_tasks((writing, disconnected, ended))
            await self._chunks.aclose()
        error = None if writing.cancelled() else writing.exception()
        if isinstance(error, TimeoutError) or (self._subscription.is_overrun and not has_disconnected):
            # The response stays incomplete: the server closes the connection, and the client resumes where it was.
            _logger.warning("closed an event stream whose client reads too slowly")
        elif error is not None:
            raise error
        elif writing.cancelled() and not has_disconnected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await send(_LAST_CHUNK)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _send_chunk(send, f"retry: {RETRY_MS}\n\n".encode())
        async for chunk in self._chunks:
            await _send_chunk(send, chunk)
        await send(_LAST_CHUNK)


async def _send_chunk(send: Send, chunk: bytes) -> None:
    async with asyncio.timeout(UNREAD_MAX_S):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
