"""Threads that repeat one step each, whatever goes wrong in it, until they are told to stop."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from background_jobs.store import JobError
from dbconnect.errors import SalespulseError

_LOG = logging.getLogger(__name__)

_PAUSE_S = 1.0


@dataclass
class Loop:
    """One thread's work.

    Attributes:
        name: in the log.
        step: done again and again; an error is said once, and the step is repeated after a pause.
        every_s: from one step's end to the next one's begin.
        wake: cuts that short when it is set.
    """

    name: str
    step: Callable[[], object]
    every_s: float
    wake: threading.Event = field(default_factory=threading.Event)


class Loops:
    """Runs loops until `stop`."""

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
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, *, within_s: float) -> None:
        """End every loop after the step that it is at, and wait for them so long at most, all together."""
        self._stopping.set()
        for loop in self._loops:
            loop.wake.set()
        share_s = within_s / max(1, len(self._threads))
        for thread in self._threads:
            thread.join(share_s)

    def _repeat(self, loop: Loop) -> None:
        said = ""
        while not self._stopping.is_set():
            pause_s = loop.every_s
            loop.wake.clear()
            try:
                loop.step()
                if said:
                    _LOG.info("%s: goes on", loop.name)
                said = ""
            except (SalespulseError, JobError) as error:
                pause_s = max(pause_s, _PAUSE_S)
                if str(error) != said:
                    said = str(error)
                    _LOG.warning("%s: %s; trying again", loop.name, said)
            except Exception:  # noqa: BLE001 - one loop that fails for an unforeseen reason must not end the others
                pause_s = max(pause_s, _PAUSE_S)
                said = "failed"
                _LOG.exception("%s failed; trying again", loop.name)
            if not self._stopping.is_set():
                loop.wake.wait(pause_s)
