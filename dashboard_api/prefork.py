"""Worker processes that serve one port: forked from a parent that has loaded everything, replaced when they die, drained on SIGTERM.

The parent has no threads, no event loop and no connections, so that it can fork safely. It binds a listening socket for each worker
(SO_REUSEPORT: the kernel spreads connections evenly, where a shared socket would give a burst to whichever worker wakes first) and keeps
them open: connections in a dead worker's queue are served by its successor.
"""

import contextlib
import logging
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dashboard_api.errors import NotConfiguredError
from dbconnect import Settings

# Connections that wait while a thousand users arrive at once.
BACKLOG = 4_096
# Longer than a worker takes to finish its pending requests.
_DRAIN_TIMEOUT_S = 15.0
_RESTART_PAUSE_S = 1.0
# Exit codes of a worker that could not start.
_START_FAILED = frozenset({1, 3})
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerResources:
    """What a worker inherits; its successor inherits the same.

    Attributes:
        number: from 0.
        listener: accepts HTTP connections.
        metrics_listener: accepts the other workers' requests for its metrics.
        metrics_paths: of every worker's `metrics_listener`.
        parent_pipe: readable once the parent is gone.
    """

    number: int
    listener: socket.socket
    metrics_listener: socket.socket
    metrics_paths: tuple[Path, ...]
    parent_pipe: int


class PreforkParent:
    """Keep the worker processes running.

    Args:
        settings: `dashboard_processes` workers serve `api_host` and `api_port`.
        serve: runs in each worker; returns its exit code.
    """

    def __init__(self, settings: Settings, serve: Callable[[WorkerResources], int]) -> None:
        self._settings = settings
        self._count = settings.dashboard_processes
        self._serve = serve
        self._resources: dict[int, WorkerResources] = {}
        self._number_of_pid: dict[int, int] = {}
        # By number, when a worker is to be started (monotonic seconds).
        self._start_at: dict[int, float] = {}
        self._has_replaced = False

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, or until the first workers can't start; return the exit code.

        Raises:
            NotConfiguredError: the address can't be listened on.
        """
        with self._open() as signals:
            self._start_at = dict.fromkeys(self._resources, 0.0)
            while True:
                self._start_due()
                numbers = signals.wait(min(self._start_at.values(), default=None))
                if numbers & {signal.SIGTERM, signal.SIGINT}:
                    break
                code = self._reap()
                if code:
                    self._drain(signals)
                    return code
            _logger.info("draining %d workers", len(self._number_of_pid))
            self._drain(signals)
            return 0

    @contextlib.contextmanager
    def _open(self) -> Iterator["_SignalPipe"]:
        directory = Path(tempfile.mkdtemp(prefix="salespulse-dashboard-"))
        parent_pipe, self._parent_end = os.pipe()
        try:
            paths = tuple(directory / str(number) for number in range(self._count))
            listeners = _listen(self._settings.api_host, self._settings.api_port, self._count)
            for number, path in enumerate(paths):
                metrics_listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                metrics_listener.bind(str(path))
                metrics_listener.listen()
                self._resources[number] = WorkerResources(
                    number, listeners[number], metrics_listener, paths, parent_pipe
                )
            yield _SignalPipe()
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _start_due(self) -> None:
        now = time.monotonic()
        for number in [number for number, at in self._start_at.items() if at <= now]:
            del self._start_at[number]
            self._number_of_pid[self._fork(self._resources[number])] = number

    def _fork(self, resources: WorkerResources) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return pid
        # From here on this is the worker. Whatever happens, it must not continue as a second parent.
        code = 70
        try:
            os.close(self._parent_end)
            for other in self._resources.values():
                if other.number != resources.number:
                    other.listener.close()
                    other.metrics_listener.close()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            code = self._serve(resources)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            _logger.exception("a worker failed")
        finally:
            logging.shutdown()
            os._exit(code)

    def _reap(self) -> int:
        """Schedule successors of the workers that have ended; return an exit code where there is no use in that, else 0."""
        fatal = 0
        for pid, code in _ended(self._number_of_pid):
            number = self._number_of_pid.pop(pid)
            could_not_start = code in _START_FAILED
            if could_not_start and not self._has_replaced:
                fatal = code
                continue
            _logger.warning("worker %d (PID %d) ended with exit code %d; restarting it", number, pid, code)
            self._has_replaced = True
            self._start_at[number] = time.monotonic() + (_RESTART_PAUSE_S if could_not_start else 0.0)
        return fatal

    def _drain(self, signals: "_SignalPipe") -> None:
        for resources in self._resources.values():
            resources.listener.close()
        for pid in self._number_of_pid:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _DRAIN_TIMEOUT_S
        while self._number_of_pid and time.monotonic() < deadline:
            for pid, _ in _ended(self._number_of_pid):
                del self._number_of_pid[pid]
            if self._number_of_pid:
                signals.wait(deadline)
        for pid in self._number_of_pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


class _SignalPipe:
    """Wait for signals."""

    def __init__(self) -> None:
        self._read_end, write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)

    def wait(self, deadline: float | None) -> set[int]:
        """Return the signals that arrived; an empty set at the deadline (monotonic seconds)."""
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([self._read_end], [], [], timeout)[0]:
            return set()
        return set(os.read(self._read_end, 1_024))


def _ended(pids: dict[int, int]) -> list[tuple[int, int]]:
    """Return the processes that have ended, with their exit codes; the negative signal number where a signal ended one."""
    ended = []
    for pid in pids:
        ended_pid, status = os.waitpid(pid, os.WNOHANG)
        if ended_pid:
            ended.append((pid, os.waitstatus_to_exitcode(status)))
    return ended


def _listen(host: str, port: int, count: int) -> list[socket.socket]:
    """Return a listening socket for each worker, all at one address; elsewhere than on Linux, duplicates of one socket.

    Raises:
        NotConfiguredError: the address can't be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # First without SO_REUSEPORT, which would silently share the port with another instance of this user.
        exclusive = socket.create_server((host, port), family=family, backlog=BACKLOG)
        if sys.platform != "linux":
            return [exclusive] + [exclusive.dup() for _ in range(count - 1)]
        with exclusive:
            port = exclusive.getsockname()[1]
        return [
            socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=True) for _ in range(count)
        ]
    except OSError as error:
        raise NotConfiguredError(
            f"can't listen on {host}:{port} (SALESPULSE_API_HOST, SALESPULSE_API_PORT): {error.strerror or error}"
        ) from error
