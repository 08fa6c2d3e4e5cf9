"""When to try again: after a refusal (`Backoff`), and after failures of a server (`CircuitBreaker`)."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from ratelimit_service.decision import Decision

_FIRST_POLL_S = 0.01
_POLL_MAX_S = 0.25


class Backoff:
    """Pauses between the tries of one blocking call.

    Args:
        timeout_s: longest total wait; None waits forever.
        clock: monotonic seconds.
        is_polling: poll with growing pauses instead of waiting for the retry time: slots can come back at any time.
    """

    def __init__(self, timeout_s: float | None, clock: Callable[[], float], *, is_polling: bool = False) -> None:
        self._clock = clock
        self._until_s = math.inf if timeout_s is None else clock() + timeout_s
        self._poll_s = _FIRST_POLL_S if is_polling else math.inf

    def pause_s(self, decision: Decision) -> float | None:
        """Return the seconds to sleep before the next try; None: stop, with this decision."""
        wait_s = decision.retry_after_s
        if decision.allowed or wait_s is None:
            return None
        pause_s = min(wait_s, self._poll_s)
        self._poll_s = min(self._poll_s * 2, _POLL_MAX_S) if self._poll_s < math.inf else math.inf
        return pause_s if self._clock() + pause_s <= self._until_s else None


class CircuitBreaker:
    """Stop calling a failing server; while open, let one probe through per `open_s`. A successful probe closes it.

    Args:
        threshold: consecutive failures that open it.
        open_s: seconds between probes; longer than a check's deadline, so that only one probe runs at a time.
    """

    __slots__ = ("_failures", "_lock", "_open_s", "_probe_at_s", "_threshold", "is_open")

    def __init__(self, threshold: int, open_s: float) -> None:
        self.is_open = False
        self._threshold = threshold
        self._open_s = open_s
        self._failures = 0
        self._probe_at_s = 0.0
        self._lock = threading.Lock()

    def allows(self, now_s: float) -> bool:
        """Whether to call the server at `now_s` (monotonic). True while open makes the caller the probe."""
        if not self.is_open:
            return True
        if now_s < self._probe_at_s:
            return False
        with self._lock:
            if now_s < self._probe_at_s:
                return False
            self._probe_at_s = now_s + self._open_s
            return True

    def record_success(self) -> None:
        """Close the circuit: the server answered."""
        if self._failures or self.is_open:
            with self._lock:
                self._failures = 0
                self.is_open = False

    def record_failure(self, now_s: float) -> None:
        """Count a failure, and open the circuit at the threshold."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._threshold:
                self.is_open = True
                self._probe_at_s = now_s + self._open_s
