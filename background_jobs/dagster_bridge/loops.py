"""Threads that repeat one step each, whatever goes wrong in it; and the connection that such a thread keeps."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from background_jobs.store import JobError
from dbconnect.errors import SalespulseError
from dbconnect.routes import Connection, connect_route

_logger = logging.getLogger(__name__)

_RETRY_DELAY_S = 1.0


@dataclass
class Loop:
    """A step that one thread repeats.

    Attributes:
        name: for the log.
        step: called again and again; an error is logged once, and the step is repeated after a pause.
        interval_s: seconds from a step's end to the next one's start.
        wake: set it to end that interval early.
    """

    name: str
    step: Callable[[], object]
    interval_s: float
    wake: threading.Event = field(default_factory=threading.Event)


class LoopThreads:
    """Runs each loop in a thread until `stop`."""

    def __init__(self, loops: list[Loop]) -> None:
        self._loops = loops
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(loop,), name=loop.name, daemon=True) for loop in loops
        ]

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """End every loop after its current step; wait for all of them for `timeout_s` in total."""
        self._stopping.set()
        for loop in self._loops:
            loop.wake.set()
        for thread in self._threads:
            thread.join(timeout_s / len(self._threads))

    def _repeat(self, loop: Loop) -> None:
        last_error = ""
        while not self._stopping.is_set():
            pause_s = loop.interval_s
            loop.wake.clear()
            try:
                loop.step()
                if last_error:
                    _logger.info("%s: works again", loop.name)
                last_error = ""
            except (SalespulseError, JobError) as error:
                pause_s = max(pause_s, _RETRY_DELAY_S)
                if str(error) != last_error:
                    last_error = str(error)
                    _logger.warning("%s: %s; retrying", loop.name, last_error)
            except Exception:
                pause_s = max(pause_s, _RETRY_DELAY_S)
                last_error = "failed"
                _logger.exception("%s failed; retrying", loop.name)
            if not self._stopping.is_set():
                loop.wake.wait(pause_s)


class ReconnectingConnection:
    """A connection for one thread: opened at its first use, and again after an error.

    Args:
        url: returns the URL, a secret.
        name: the application name, for the server's views.
    """

    def __init__(self, url: Callable[[], str], name: str) -> None:
        self._url = url
        self._name = name
        self._connection: Connection | None = None

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Yield the connection; an error inside closes it, so that the next use opens a new one.

        Raises:
            UnavailableError: the server can't be reached.
        """
        if self._connection is None or self._connection.closed:
            self._connection = connect_route(self._url(), self._name)
        try:
            yield self._connection
        except BaseException:
            self._connection.close()
            raise
