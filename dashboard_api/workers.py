"""Several processes that serve one port: forked from one that has loaded everything, replaced when they die, drained on SIGTERM.

The parent has no threads, no event loop and no connections, so that forking it is safe. It binds a listening socket for each worker
(SO_REUSEPORT: the kernel spreads connections evenly, where a shared socket would give a crowd that arrives at once to whoever wakes
first) and keeps them open: connections that wait in a dead worker's queue are served by its successor.
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
# Longer than a worker takes to finish what it has begun.
_DRAIN_S = 15.0
_PAUSE_S = 1.0
# A worker that ends so could not begin to serve.
_CANT_START = frozenset({1, 3})
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Post:
    """What a worker inherits.

    Attributes:
        number: from 0; its successor has the same.
        listening: where its connections come from.
        telling: where the others ask for its metrics.
        paths: of every worker's `telling`.
        parent: readable when the parent is gone.
    """

    number: int
    listening: socket.socket
    telling: socket.socket
    paths: tuple[Path, ...]
    parent: int


class Workers:
    """The parent's side.

    Args:
        settings: `dashboard_processes` of them serve `api_host` and `api_port`.
        serve: runs in each worker; gives its exit code.
    """

    def __init__(self, settings: Settings, serve: Callable[[Post], int]) -> None:
        self._settings = settings
        self._count = settings.dashboard_processes
        self._serve = serve
        self._posts: dict[int, Post] = {}
        self._pids: dict[int, int] = {}
        # When a worker that could not start is tried again.
        self._due: dict[int, float] = {}
        self._has_replaced = False

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, or until the first workers can't start; give the exit code.

        Raises:
            NotConfiguredError: the address can't be listened on.
        """
        with self._prepared() as signals:
            self._due = dict.fromkeys(self._posts, 0.0)
            while True:
                self._start_due()
                numbers = signals.wait(min(self._due.values(), default=None))
                if numbers & {signal.SIGTERM, signal.SIGINT}:
                    break
                code = self._bury()
                if code:
                    self._drain(signals)
                    return code
            log.info("draining %d workers", len(self._pids))
            self._drain(signals)
            return 0

    @contextlib.contextmanager
    def _prepared(self) -> Iterator["_Signals"]:
        directory = Path(tempfile.mkdtemp(prefix="salespulse-dashboard-"))
        alive, held = os.pipe()
        try:
            paths = tuple(directory / str(number) for number in range(self._count))
            listening = _listen(self._settings.api_host, self._settings.api_port, self._count)
            for number, path in enumerate(paths):
                telling = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                telling.bind(str(path))
                telling.listen()
                self._posts[number] = Post(number, listening[number], telling, paths, alive)
            self._held = held
            yield _Signals()
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _start_due(self) -> None:
        now = time.monotonic()
        for number in [number for number, at in self._due.items() if at <= now]:
            del self._due[number]
            self._pids[self._fork(self._posts[number])] = number

    def _fork(self, post: Post) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return pid
        # From here on: the worker. Whatever happens, it must not go on as a second parent.
        code = 70
        try:
            os.close(self._held)
            for other in self._posts.values():
                if other.number != post.number:
                    other.listening.close()
                    other.telling.close()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            code = self._serve(post)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            log.exception("a worker failed")
        finally:
            logging.shutdown()
            os._exit(code)

    def _bury(self) -> int:
        """See who has ended, and plan successors; give an exit code where there is no use in that."""
        fatal = 0
        for pid, code in _ended(self._pids):
            number = self._pids.pop(pid)
            could_not_start = code in _CANT_START
            if could_not_start and not self._has_replaced:
                fatal = code
                continue
            log.warning("worker %d (process %d) ended with %d, and is replaced", number, pid, code)
            self._has_replaced = True
            self._due[number] = time.monotonic() + (_PAUSE_S if could_not_start else 0.0)
        return fatal

    def _drain(self, signals: "_Signals") -> None:
        for post in self._posts.values():
            post.listening.close()
        for pid in self._pids:
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + _DRAIN_S
        while self._pids and time.monotonic() < until:
            for pid, _ in _ended(self._pids):
                del self._pids[pid]
            if self._pids:
                signals.wait(until)
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


class _Signals:
    """Signals as something to wait for."""

    def __init__(self) -> None:
        self._told, tell = os.pipe()
        os.set_blocking(self._told, False)
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)

    def wait(self, until: float | None) -> set[int]:
        """Give those that came, or nothing when it is time (monotonic seconds)."""
        timeout = None if until is None else max(0.0, until - time.monotonic())
        if not select.select([self._told], [], [], timeout)[0]:
            return set()
        return set(os.read(self._told, 1_024))


def _ended(pids: dict[int, int]) -> list[tuple[int, int]]:
    """Those of our processes that have ended, with their exit codes; minus the signal that ended one."""
    found = []
    for pid in pids:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def _listen(host: str, port: int, count: int) -> list[socket.socket]:
    """A listening socket for each worker, all at one address; elsewhere than on Linux one for all of them, as often.

    Raises:
        NotConfiguredError: the address can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    is_spread = sys.platform == "linux"
    try:
        # First by itself: SO_REUSEPORT would quietly share the port with another instance of this user.
        alone = socket.create_server((host, port), family=family, backlog=BACKLOG)
        if not is_spread:
            return [alone] + [alone.dup() for _ in range(count - 1)]
        with alone:
            port = alone.getsockname()[1]
        return [
            socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=True) for _ in range(count)
        ]
    except OSError as error:
        raise NotConfiguredError(
            f"can't listen on {host}:{port} (SALESPULSE_API_HOST, SALESPULSE_API_PORT): {error.strerror or error}"
        ) from error
