"""A token bucket: the budget of reads that may go to the primary."""

import threading


class TokenBucket:
    """At most `burst` at once and `per_second` sustained; safe to share between threads.

    A token bucket (https://en.wikipedia.org/wiki/Token_bucket). Times are seconds of a
    monotonic clock, passed in.
    """

    def __init__(self, *, per_second: float, burst: int) -> None:
        self.per_second = per_second
        self.burst = burst
        self._level = float(burst) if per_second > 0 else 0.0
        self._at: float | None = None
        self._lock = threading.Lock()

    def take(self, now: float) -> bool:
        """Take a token; False when there is none."""
        with self._lock:
            level = self._filled(now)
            self._at = now
            self._level = level - 1 if level >= 1 else level
            return level >= 1

    def level(self, now: float) -> float:
        """Return the number of tokens."""
        with self._lock:
            return self._filled(now)

    def next_in_s(self, now: float) -> float:
        """Return the seconds until there is a token; infinite when the rate is 0."""
        with self._lock:
            missing = 1 - self._filled(now)
        if missing <= 0:
            return 0.0
        return missing / self.per_second if self.per_second > 0 else float("inf")

    def _filled(self, now: float) -> float:
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        return min(float(self.burst), self._level + elapsed * self.per_second)
