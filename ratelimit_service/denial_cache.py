"""A bounded memory of denials: a key that was refused is refused again here, until its retry time, without Redis."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable

from ratelimit_service.decision import Decision
from ratelimit_service.metrics import PolicyTallies

_SAME_S = 0.001
"""An answer is given again for this long: its times are at most so much too long, and whoever hammers costs less."""


class Denial:
    """A remembered denial, valid until `until_s` (monotonic)."""

    __slots__ = ("_answer", "_answer_until_s", "decision", "keys", "since_s", "tallies", "until_s")

    def __init__(
        self, decision: Decision, keys: list[bytes], tallies: PolicyTallies, since_s: float, until_s: float
    ) -> None:
        self.decision = decision
        self.tallies = tallies
        self.keys = keys
        self.since_s = since_s
        self.until_s = until_s
        self._answer = decision
        self._answer_until_s = since_s

    def answer(self, now_s: float) -> Decision:
        """The denial as it reads now: its times have shrunk by its age."""
        if now_s < self._answer_until_s:
            return self._answer
        was = self.decision
        answer = Decision(
            was.policy,
            was.policy_version,
            was._limits,  # noqa: SLF001 - a copy of its own kind, on the path that must cost a microsecond
            was._values,  # noqa: SLF001 - the same
            was.cost,
            False,
            False,
            False,
            True,
            now_s - self.since_s,
        )
        # A thread that reads between these two lines gets the newer answer a little early, or the older a little late.
        self._answer = answer
        self._answer_until_s = now_s + _SAME_S
        return answer


class DenialCache:
    """Denials by request; each policy version has its own cache, so a reload forgets them all.

    Args:
        size: the most denials kept; the oldest go first. 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self.entries: dict[Hashable, Denial] = {}
        self._size = size
        self._by_key: dict[bytes, set[Hashable]] = {}
        self._lock = threading.Lock()

    def put(self, request: Hashable, denial: Denial) -> None:
        """Remember a denial of `request`."""
        if self._size == 0:
            return
        with self._lock:
            if request in self.entries:
                self._remove(request)
            elif len(self.entries) >= self._size:
                self._remove(next(iter(self.entries)))
            self.entries[request] = denial
            for key in denial.keys:
                self._by_key.setdefault(key, set()).add(request)

    def expire(self, request: Hashable) -> None:
        """Forget one request's denial, whose time has come."""
        with self._lock:
            if request in self.entries:
                self._remove(request)

    def forget(self, keys: Iterable[bytes]) -> None:
        """Forget every denial that rests on one of these Redis keys: they were refunded or reset."""
        with self._lock:
            for key in keys:
                for request in tuple(self._by_key.get(key, ())):
                    self._remove(request)

    def _remove(self, request: Hashable) -> None:
        for key in self.entries.pop(request).keys:
            requests = self._by_key[key]
            requests.discard(request)
            if not requests:
                del self._by_key[key]
