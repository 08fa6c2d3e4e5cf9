"""Makes answers in a process of its own, which is started anew when it dies; meanwhile they are made here."""

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import time

from dashboard_api.making.frames import Failure, Frames
from dashboard_api.making.local import LocalMaker
from dashboard_api.making.maker import Made, MakerState, Wanted
from dbconnect import Settings

_READY_S = 15.0
_PAUSE_S = 1.0
_LOOK_EVERY_S = 2.0
# It tells its state twice a second.
_SILENT_S = 10.0
_LAST_WORDS_S = 5.0

log = logging.getLogger(__name__)


class _GoneError(Exception):
    """The process ended before it answered."""


class RemoteMaker:
    """The side that asks.

    Args:
        settings: also of the process.
        local: makes what the process can't.
    """

    def __init__(self, settings: Settings, local: LocalMaker) -> None:
        self._settings = settings
        self._local = local
        self._link: _Link | None = None
        self._is_ready = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that is ready to make answers now."""
        return None if self._link is None else self._link.pid

    async def open(self) -> None:
        """Start the process, and return when it is ready; without it things go on here."""
        self._keeping = asyncio.create_task(self._keep())
        try:
            async with asyncio.timeout(_READY_S):
                await self._is_ready.wait()
        except TimeoutError:
            log.warning("the process that makes answers is not ready after %.0f s; they are made here", _READY_S)

    async def close(self) -> None:
        """End the process."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def make(self, wanted: Wanted) -> Made:
        """As `Maker.make`."""
        if self._link is not None:
            # Nothing was changed by what it began: so it may as well be made here.
            with contextlib.suppress(_GoneError):
                return await self._link.ask(wanted)
        return await self._local.make(wanted)

    def state(self) -> MakerState:
        """As `Maker.state`."""
        here = self._local.state()
        there = None if self._link is None else self._link.state
        return here if there is None else MakerState(here.waiting + there.waiting, there.router)

    async def _keep(self) -> None:
        while True:
            link = _Link()
            try:
                await link.open(self._settings)
                await link.is_ready()
                self._link = link
                self._is_ready.set()
                await link.until_gone()
            except _GoneError:
                pass
            except OSError as error:
                log.warning("the process that makes answers can't be started: %s", error)
            finally:
                self._link = None
                code = await link.close()
            log.warning("the process that makes answers ended with %s, and is replaced", code)
            await asyncio.sleep(_PAUSE_S)


class _Link:
    """One process and the way to it."""

    def __init__(self) -> None:
        self.state: MakerState | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._frames: Frames | None = None
        self._asked: dict[int, asyncio.Future[Made]] = {}
        self._number = 0
        self._heard_at = time.monotonic()
        self._has_told = asyncio.Event()
        self._is_gone = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def open(self, settings: Settings) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "dashboard_api.making.process", str(theirs.fileno())]
            # In a session of its own: what a terminal sends to the group is not for it; and Linux shares the cores out among sessions
            # first (sched_autogroup_enabled), of which it would take this process's part.
            self._process = await asyncio.to_thread(
                subprocess.Popen, command, pass_fds=(theirs.fileno(),), start_new_session=True
            )
        frames = self._frames = Frames(self._take, self._end)
        await asyncio.get_running_loop().create_unix_connection(lambda: frames, sock=ours)
        frames.send(0, settings)

    async def is_ready(self) -> None:
        """Return when it has told its state.

        Raises:
            _GoneError: it won't.
        """
        told = asyncio.create_task(self._has_told.wait())
        gone = asyncio.create_task(self._is_gone.wait())
        try:
            await asyncio.wait([told, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            gone.cancel()
        if self._is_gone.is_set():
            raise _GoneError

    async def until_gone(self) -> None:
        """Return when the process has ended, or is ended for saying nothing any more."""
        was_silent = False
        while not self._is_gone.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._is_gone.wait()
            is_silent = time.monotonic() - self._heard_at > _SILENT_S
            # Twice, since it may be this process that stood still.
            if is_silent and was_silent:
                log.error("the process that makes answers has said nothing for %.0f s, and is killed", _SILENT_S)
                return
            was_silent = is_silent

    async def ask(self, wanted: Wanted) -> Made:
        if self._frames is None or self._is_gone.is_set():
            raise _GoneError
        self._number += 1
        number = self._number
        answer: asyncio.Future[Made] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._frames.send(number, wanted)
            return await answer
        finally:
            self._asked.pop(number, None)

    async def close(self) -> int | None:
        """End it; give its exit code."""
        if self._frames is not None:
            self._frames.close()
        self._end()
        if self._process is None:
            return None
        process = self._process

        def bury() -> int:
            try:
                return process.wait(_LAST_WORDS_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()

        return await asyncio.to_thread(bury)

    def _take(self, number: int, found: object) -> None:
        self._heard_at = time.monotonic()
        if isinstance(found, MakerState):
            self.state = found
            self._has_told.set()
            return
        asked = self._asked.get(number)
        # Whoever asked may have gone.
        if asked is None or asked.done():
            return
        if isinstance(found, Failure):
            asked.set_exception(found.error())
        elif isinstance(found, Made):
            asked.set_result(found)

    def _end(self) -> None:
        self._is_gone.set()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(_GoneError())
