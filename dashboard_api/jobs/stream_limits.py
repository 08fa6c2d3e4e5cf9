"""Limit concurrent streams and waiting requests: per user, so that nobody takes all of them, and in total."""

from collections import Counter
from collections.abc import Callable

from dashboard_api.auth import Identity
from dashboard_api.errors import TooManyStreamsError

PER_USER = 20
TOTAL = 2_000


class StreamLimits:
    """Count what is open in this process."""

    def __init__(self, *, per_user: int = PER_USER, total: int = TOTAL) -> None:
        self._per_user = per_user
        self._total_max = total
        self._open: Counter[tuple[str, str]] = Counter()
        self._total = 0

    @property
    def total(self) -> int:
        """How many are open."""
        return self._total

    def acquire(self, identity: Identity) -> Callable[[], None]:
        """Count one more; return a function to call when it closes, whose further calls change nothing.

        Raises:
            TooManyStreamsError: the user or the process is at its limit.
        """
        user = (identity.tenant_id, identity.subject)
        if self._open[user] >= self._per_user:
            raise TooManyStreamsError(f"a user may have at most {self._per_user} streams and waiting requests open")
        if self._total >= self._total_max:
            raise TooManyStreamsError("this server has the maximum number of streams open; retry later")
        self._open[user] += 1
        self._total += 1
        is_open = True

        def release() -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                self._total -= 1
                self._open[user] -= 1
                if not self._open[user]:
                    del self._open[user]

        return release
