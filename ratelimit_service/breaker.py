"""A circuit breaker: after some failures in a row stop asking, then let exactly one caller at a time try again."""

from __future__ import annotations

import threading


class Breaker:
    """Closed, it lets all through. Open, one probe per `open_s`; a probe that succeeds closes it.

    Args:
        threshold: failures in a row that open it.
        open_s: seconds between probes; longer than a check's deadline, so that there is one probe at a time.
    """

    __slots__ = ("_failures", "_lock", "_open_s", "_probe_at", "_threshold", "is_open")

    def __init__(self, threshold: int, open_s: float) -> None:
        self.is_open = False
        self._threshold = threshold
        self._open_s = open_s
        self._failures = 0
        self._probe_at = 0.0
        self._lock = threading.Lock()

    def allows(self, now_s: float) -> bool:
        """Whether to ask at `now_s` (a monotonic time). A yes while open makes the caller the probe."""
        if not self.is_open:
            return True
        if now_s < self._probe_at:
            return False
        with self._lock:
            if now_s < self._probe_at:
                return False
            self._probe_at = now_s + self._open_s
            return True

    def succeeded(self) -> None:
        """The server answered."""
        if self._failures or self.is_open:
            with self._lock:
                self._failures = 0
                self.is_open = False

    def failed(self, now_s: float) -> None:
        """The server did not answer, or not with a decision."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._threshold:
                self.is_open = True
                self._probe_at = now_s + self._open_s
