"""The budget of reads that may go to the primary."""

import threading


class TokenBucket:
    """At most `burst` at once and `per_second` sustained; safe to share between threads.

    The usual token bucket (https://en.wikipedia.org/wiki/Token_bucket). Time is passed in, in seconds of any clock that
    does not go back.
    """

    def __init__(self, *, per_second: float, burst: int) -> None:
        self.per_second = per_second
        self.burst = burst
        self._level = float(burst) if per_second > 0 else 0.0
        self._at: float | None = None
        self._lock = threading.Lock()

    def take(self, now: float) -> bool:
        """Take one; False when there is none."""
        with self._lock:
            level = self._filled(now)
            self._at = now
            self._level = level - 1 if level >= 1 else level
            return level >= 1

    def level(self, now: float) -> float:
        """How many are there."""
        with self._lock:
            return self._filled(now)

    def next_in_s(self, now: float) -> float:
        """Seconds until there is one; infinite when there never will be."""
        with self._lock:
            missing = 1 - self._filled(now)
        if missing <= 0:
            return 0.0
        return missing / self.per_second if self.per_second > 0 else float("inf")

    def _filled(self, now: float) -> float:
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        return min(float(self.burst), self._level + elapsed * self.per_second)
