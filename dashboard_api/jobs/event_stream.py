"""A response that goes on for as long as a job does: Server-Sent Events, written no faster than the client reads."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dashboard_api.jobs.feed import Watch
from dashboard_api.jobs.tasks import end_tasks

MEDIA_TYPE = "text/event-stream"
# How long a client may leave what was sent unread, while there is more to send.
UNREAD_MAX_S = 20.0
RETRY_MS = 2_000
_LAST = {"type": "http.response.body", "body": b"", "more_body": False}

log = logging.getLogger(__name__)


class EventStream(Response):
    """Sends what a generator gives, until it ends, the client hangs up, is too slow, or the process ends.

    Args:
        watch: what the generator watches; entered here, left when the stream is over.
        texts: what to send, as bytes; begun after the watch was entered.
        release: called when the stream is over.
    """

    media_type = f"{MEDIA_TYPE}; charset=utf-8"

    def __init__(self, watch: Watch, texts: AsyncGenerator[bytes, None], release: Callable[[], None]) -> None:
        # No proxy is to hold it back, none to keep it.
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, media_type=self.media_type)
        self.raw_headers = [field for field in self.raw_headers if field[0] != b"content-length"]
        self._watch = watch
        self._texts = texts
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        began = asyncio.get_running_loop().time()
        try:
            with self._watch:
                await self._serve(receive, send)
        finally:
            self._release()
            # The log and the metrics are to show how long answers take, not how long people watch.
            scope.setdefault("state", {})["waited_s"] = asyncio.get_running_loop().time() - began

    async def _serve(self, receive: Receive, send: Send) -> None:
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(_hang_up(receive))
        ending = asyncio.create_task(self._watch.ended.wait())
        try:
            await asyncio.wait((writing, leaving, ending), return_when=asyncio.FIRST_COMPLETED)
            has_left = leaving.done()
        finally:
            await end_tasks((writing, leaving, ending))
            await self._texts.aclose()
        error = None if writing.cancelled() else writing.exception()
        if isinstance(error, TimeoutError) or (self._watch.is_overrun and not has_left):
            # The answer is not completed: the server closes the connection, and the client resumes where it was.
            log.warning("a stream's reader was too slow and was dropped")
        elif error is not None:
            raise error
        elif writing.cancelled() and not has_left:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await send(_LAST)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _send(send, f"retry: {RETRY_MS}\n\n".encode())
        async for text in self._texts:
            await _send(send, text)
        await send(_LAST)


async def _send(send: Send, text: bytes) -> None:
    async with asyncio.timeout(UNREAD_MAX_S):
        await send({"type": "http.response.body", "body": text, "more_body": True})


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
