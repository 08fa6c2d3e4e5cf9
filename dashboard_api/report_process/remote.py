"""Build reports in a child process, which is restarted when it dies; meanwhile they are built in this one."""

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import time

from dashboard_api.report_process.builder import BuilderState, BuiltReport, LocalReportBuilder, ReportRequest
from dashboard_api.report_process.frames import Frames, PickledError
from dbconnect import Settings

_START_TIMEOUT_S = 15.0
_RESTART_PAUSE_S = 1.0
_CHECK_EVERY_S = 2.0
# The child sends its state twice a second.
_SILENCE_MAX_S = 10.0
_EXIT_GRACE_S = 5.0

_logger = logging.getLogger(__name__)


class _ProcessEndedError(Exception):
    """The report process ended before it responded."""


class RemoteReportBuilder:
    """Send requests to the report process.

    Args:
        settings: passed on to the process.
        local: builds reports while there is no process.
    """

    def __init__(self, settings: Settings, local: LocalReportBuilder) -> None:
        self._settings = settings
        self._local = local
        self._child: _ReportProcess | None = None
        self._is_ready = asyncio.Event()
        self._supervision: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """PID of the ready child process, or None."""
        return None if self._child is None else self._child.pid

    async def open(self) -> None:
        """Start the process, and wait until it is ready; without it, reports are built in this one."""
        self._supervision = asyncio.create_task(self._supervise())
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await self._is_ready.wait()
        except TimeoutError:
            _logger.warning(
                "timed out after %.0f s waiting for the report process; reports are built in the serving process",
                _START_TIMEOUT_S,
            )

    async def close(self) -> None:
        """Stop the process."""
        if self._supervision is not None:
            self._supervision.cancel()
            await asyncio.gather(self._supervision, return_exceptions=True)

    async def build(self, request: ReportRequest) -> BuiltReport:
        """Build a report, see `LocalReportBuilder.build`."""
        if self._child is not None:
            # A read changes nothing, so that it may be repeated here.
            with contextlib.suppress(_ProcessEndedError):
                return await self._child.build(request)
        return await self._local.build(request)

    def state(self) -> BuilderState:
        """Return the state of both processes' builders together."""
        local = self._local.state()
        remote = None if self._child is None else self._child.state
        return local if remote is None else BuilderState(local.waiting + remote.waiting, remote.router)

    async def _supervise(self) -> None:
        while True:
            child = _ReportProcess()
            try:
                await child.start(self._settings)
                await child.wait_until_ready()
                self._child = child
                self._is_ready.set()
                await child.wait_until_ended()
            except _ProcessEndedError:
                pass
            except OSError as error:
                _logger.warning("can't start the report process: %s", error)
            finally:
                self._child = None
                code = await child.stop()
            _logger.warning("the report process ended with exit code %s; restarting it", code)
            await asyncio.sleep(_RESTART_PAUSE_S)


class _ReportProcess:
    """One child process and the connection to it."""

    def __init__(self) -> None:
        self.state: BuilderState | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._frames: Frames | None = None
        self._pending: dict[int, asyncio.Future[BuiltReport]] = {}
        self._last_number = 0
        self._received_at = time.monotonic()
        self._has_state = asyncio.Event()
        self._has_ended = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self, settings: Settings) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "dashboard_api.report_process.process", str(theirs.fileno())]
            # In a session of its own: a terminal's signals to the group are not for it; and Linux divides the cores among sessions first
            # (sched_autogroup_enabled), so that in the same session it would take part of this process's share.
            self._process = await asyncio.to_thread(
                subprocess.Popen, command, pass_fds=(theirs.fileno(),), start_new_session=True
            )
        frames = self._frames = Frames(self._receive, self._set_ended)
        await asyncio.get_running_loop().create_unix_connection(lambda: frames, sock=ours)
        frames.send(0, settings)

    async def wait_until_ready(self) -> None:
        """Return when the process has sent its state.

        Raises:
            _ProcessEndedError: it ended first.
        """
        ready = asyncio.create_task(self._has_state.wait())
        ended = asyncio.create_task(self._has_ended.wait())
        try:
            await asyncio.wait([ready, ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
            ended.cancel()
        if self._has_ended.is_set():
            raise _ProcessEndedError

    async def wait_until_ended(self) -> None:
        """Return when the process has ended, or must be stopped since it sends nothing any more."""
        was_silent = False
        while not self._has_ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CHECK_EVERY_S):
                    await self._has_ended.wait()
            is_silent = time.monotonic() - self._received_at > _SILENCE_MAX_S
            # Twice in a row, since it may be this process that was stopped.
            if is_silent and was_silent:
                _logger.error("the report process has sent nothing for %.0f s; killing it", _SILENCE_MAX_S)
                return
            was_silent = is_silent

    async def build(self, request: ReportRequest) -> BuiltReport:
        if self._frames is None or self._has_ended.is_set():
            raise _ProcessEndedError
        self._last_number += 1
        number = self._last_number
        response: asyncio.Future[BuiltReport] = asyncio.get_running_loop().create_future()
        self._pending[number] = response
        try:
            self._frames.send(number, request)
            return await response
        finally:
            self._pending.pop(number, None)

    async def stop(self) -> int | None:
        """End the process; return its exit code."""
        if self._frames is not None:
            self._frames.close()
        self._set_ended()
        if self._process is None:
            return None
        process = self._process

        def reap() -> int:
            try:
                return process.wait(_EXIT_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()

        return await asyncio.to_thread(reap)

    def _receive(self, number: int, item: object) -> None:
        self._received_at = time.monotonic()
        if isinstance(item, BuilderState):
            self.state = item
            self._has_state.set()
            return
        response = self._pending.get(number)
        # The request may have been cancelled.
        if response is None or response.done():
            return
        if isinstance(item, PickledError):
            response.set_exception(item.error())
        elif isinstance(item, BuiltReport):
            response.set_result(item)

    def _set_ended(self) -> None:
        self._has_ended.set()
        for response in self._pending.values():
            if not response.done():
                response.set_exception(_ProcessEndedError())
