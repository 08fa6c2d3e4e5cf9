"""How many streams and waiting requests may be open at once: per user, so that nobody takes them all, and in all."""

from collections import Counter

from dashboard_api.auth import Identity
from dashboard_api.jobs.errors import TooManyStreamsError

PER_USER = 20
IN_ALL = 2_000


class StreamSlots:
    """Counts what is open in this process."""

    def __init__(self, *, per_user: int = PER_USER, in_all: int = IN_ALL) -> None:
        self._per_user = per_user
        self._in_all = in_all
        self._open: Counter[tuple[str, str]] = Counter()
        self._total = 0

    @property
    def total(self) -> int:
        """How many are open."""
        return self._total

    def take(self, identity: Identity) -> "StreamSlot":
        """Count one more; release it when it closes.

        Raises:
            TooManyStreamsError: the user has as many as one may have, or the process has.
        """
        user = (identity.tenant_id, identity.subject)
        if self._open[user] >= self._per_user:
            raise TooManyStreamsError(f"one user may have {self._per_user} streams and waiting requests open")
        if self._total >= self._in_all:
            raise TooManyStreamsError("this server has as many streams open as it may; come back a little later")
        self._open[user] += 1
        self._total += 1
        return StreamSlot(self, user)

    def give_back(self, user: tuple[str, str]) -> None:
        """Count one less."""
        self._total -= 1
        self._open[user] -= 1
        if not self._open[user]:
            del self._open[user]


class StreamSlot:
    """One place among the open streams, given back once."""

    def __init__(self, slots: StreamSlots, user: tuple[str, str]) -> None:
        self._slots = slots
        self._user = user
        self._is_taken = True

    def release(self) -> None:
        """Give it back; doing so again changes nothing."""
        if self._is_taken:
            self._is_taken = False
            self._slots.give_back(self._user)
