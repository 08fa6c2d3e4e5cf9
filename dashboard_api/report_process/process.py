"""The process that builds reports: a child of the serving process, controlled over one socket, and ended with it.

    python -m dashboard_api.report_process.process FD

Only SIGKILL ends it: on a shutdown, the serving process still needs it to finish pending requests.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from typing import Any, cast

import psycopg
import uvloop

from dashboard_api.process_setup import set_up_logs, tune_garbage_collector
from dashboard_api.report_process.builder import (
    BuilderState,
    LocalReportBuilder,
    ReportRequest,
    figures_cache_bytes,
    max_concurrent_reads,
)
from dashboard_api.report_process.frames import Frames, PickledError
from dbconnect import PoolShare, ReadRouter, SalespulseError, Settings

_NICENESS = 5
_SEND_STATE_EVERY_S = 0.5

_logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Build reports until the other end closes the socket; return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # On busy cores cached responses go first: they are the most, and cost a fraction.
    os.nice(_NICENESS)
    set_up_logs()
    tune_garbage_collector()
    uvloop.run(_serve(socket.socket(fileno=int(arguments[1]))))
    return 0


async def _serve(sock: socket.socket) -> None:
    is_closed = asyncio.Event()
    received: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    requests = _Requests()
    frames = Frames(
        lambda number, item: requests.add(number, item) if number else received.set_result(item), is_closed.set
    )
    await asyncio.get_running_loop().create_unix_connection(lambda: frames, sock=sock)
    closed = asyncio.ensure_future(is_closed.wait())
    first: set[asyncio.Future[Any]] = {received, closed}
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    if is_closed.is_set():
        return
    settings = cast("Settings", received.result())
    router = ReadRouter(settings, share=PoolShare.GREATER)
    try:
        await router.open()
    except SalespulseError as error:
        _logger.error("the report process can't start: %s", error)  # noqa: TRY400 - the message says it all
        return
    try:
        builder = LocalReportBuilder(
            router,
            settings,
            concurrent_reads=max_concurrent_reads(settings, PoolShare.GREATER),
            figures_bytes=figures_cache_bytes(settings),
        )
        requests.start(builder, frames)
        while not is_closed.is_set():
            frames.send(0, BuilderState(builder.state().waiting, router.state()))
            await asyncio.wait([closed], timeout=_SEND_STATE_EVERY_S)
        await requests.cancel()
    finally:
        await router.close()


class _Requests:
    """The requests being served. None arrives before the first state was sent."""

    def __init__(self) -> None:
        self._builder: LocalReportBuilder | None = None
        self._frames: Frames | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, builder: LocalReportBuilder, frames: Frames) -> None:
        self._builder, self._frames = builder, frames

    def add(self, number: int, item: object) -> None:
        if self._builder is not None and self._frames is not None:
            task = asyncio.create_task(_respond(self._builder, self._frames, number, cast("ReportRequest", item)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _respond(builder: LocalReportBuilder, frames: Frames, number: int, request: ReportRequest) -> None:
    try:
        frames.send(number, await builder.build(request))
    except (SalespulseError, psycopg.Error) as error:
        frames.send(number, PickledError(error))
    except Exception as error:
        _logger.exception("building a report failed")
        frames.send(number, PickledError(RuntimeError(f"building a report failed: {type(error).__name__}")))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
