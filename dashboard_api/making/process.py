"""The process that makes answers: started by the one that serves, told everything over one socket, gone when that is.

    python -m dashboard_api.making.process FD

No signal but SIGKILL ends it: the process that serves finishes what it has begun, and needs it for that.
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

from dashboard_api.garbage import settle
from dashboard_api.logs import set_up_logs
from dashboard_api.making.frames import Failure, Frames
from dashboard_api.making.local import LocalMaker
from dashboard_api.making.maker import MakerState, Wanted
from dashboard_api.sizes import readers, readings_bytes
from dbconnect import ReadRouter, SalespulseError, Settings, Share

_NICENESS = 5
_TELL_EVERY_S = 0.5

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Make answers until the socket is closed at its other end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Where the cores are full, answers from memory go first: they are most of them, and cost a fraction.
    os.nice(_NICENESS)
    set_up_logs()
    settle()
    uvloop.run(_serve(socket.socket(fileno=int(arguments[1]))))
    return 0


async def _serve(sock: socket.socket) -> None:
    end = asyncio.Event()
    told: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    questions = _Questions()
    frames = Frames(lambda number, item: questions.take(number, item) if number else told.set_result(item), end.set)
    await asyncio.get_running_loop().create_unix_connection(lambda: frames, sock=sock)
    ended = asyncio.ensure_future(end.wait())
    first: set[asyncio.Future[Any]] = {told, ended}
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    if end.is_set():
        return
    settings = cast("Settings", told.result())
    router = ReadRouter(settings, share=Share.GREATER)
    try:
        await router.open()
    except SalespulseError as error:
        log.error("answers can't be made in a process of their own: %s", error)  # noqa: TRY400 - says it all
        return
    try:
        connections = readers(settings, Share.GREATER)
        maker = LocalMaker(router, settings, readers=connections, readings_bytes=readings_bytes(settings))
        questions.begin(maker, frames)
        while not end.is_set():
            frames.send(0, MakerState(maker.state().waiting, router.state()))
            await asyncio.wait([ended], timeout=_TELL_EVERY_S)
        await questions.cancel()
    finally:
        await router.close()


class _Questions:
    """Those that are being answered. None comes before the first state was told."""

    def __init__(self) -> None:
        self._begun: tuple[LocalMaker, Frames] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, maker: LocalMaker, frames: Frames) -> None:
        self._begun = maker, frames

    def take(self, number: int, item: object) -> None:
        if self._begun is not None:
            task = asyncio.create_task(_answer(*self._begun, number, cast("Wanted", item)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _answer(maker: LocalMaker, frames: Frames, number: int, wanted: Wanted) -> None:
    try:
        frames.send(number, await maker.make(wanted))
    except (SalespulseError, psycopg.Error) as error:
        frames.send(number, Failure(error))
    except Exception as error:
        log.exception("making an answer failed")
        frames.send(number, Failure(RuntimeError(f"making an answer failed: {type(error).__name__}")))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
