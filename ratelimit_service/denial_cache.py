"""A bounded cache of denials: a refused request is refused again, without Redis, until its retry time."""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from ratelimit_service.counters import PolicyCounters
from ratelimit_service.decision import Decision

_REUSE_S = 0.001
"""How long an answer object is reused: its times are at most this much too long, and hammering clients cost less."""


@dataclass(slots=True)
class Denial:
    """A cached denial of a request at `since_s`, valid until `until_s` (both monotonic)."""

    decision: Decision
    keys: list[bytes]
    counters: PolicyCounters
    since_s: float
    until_s: float
    _answer: Decision | None = None
    _answer_until_s: float = -math.inf

    def answer(self, now_s: float) -> Decision:
        """Return the denial with its times reduced by its age."""
        if now_s < self._answer_until_s and self._answer is not None:
            return self._answer
        denied = self.decision
        answer = Decision(
            denied.policy,
            denied.policy_version,
            denied._limits,  # noqa: SLF001 - copies a Decision, on the path that must take a microsecond
            denied._values,  # noqa: SLF001 - the same
            denied.cost,
            False,
            False,
            False,
            True,
            now_s - self.since_s,
        )
        # Another thread between these two lines reuses an answer whose times are off by a millisecond at most.
        self._answer = answer
        self._answer_until_s = now_s + _REUSE_S
        return answer


class DenialCache:
    """Denials by request; each compiled policy set has its own cache, so a reload drops them all.

    Args:
        size: maximum denials; the oldest is dropped first. 0 disables the cache.
    """

    def __init__(self, size: int) -> None:
        self.entries: dict[Hashable, Denial] = {}
        self._size = size
        self._by_key: dict[bytes, set[Hashable]] = {}
        self._lock = threading.Lock()

    def put(self, request: Hashable, denial: Denial) -> None:
        """Cache a denial of `request`."""
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
        """Drop one request's denial, whose retry time has come."""
        with self._lock:
            if request in self.entries:
                self._remove(request)

    def forget(self, keys: Iterable[bytes]) -> None:
        """Drop every denial that depends on one of these Redis keys, which were refunded or reset."""
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
