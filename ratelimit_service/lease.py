"""Prepaid units: a process takes some from Redis at once and spends them here, so a limit is never exceeded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ratelimit_service.plan import Plan


@dataclass(slots=True)
class Lease:
    """Units of one key that were paid for in Redis and not yet spent. `values` is the reply that granted them."""

    plan: Plan
    keys: list[bytes]
    units: int
    ends_s: float
    values: tuple[float, ...]

    def now_remaining(self) -> tuple[float, ...]:
        """The granting reply, with the units that are still here added to what remains."""
        out = list(self.values)
        for at in range(1, len(out), 3):
            out[at] += self.units
        return tuple(out)


class LeaseBook:
    """The leases of one policy version in this process.

    Args:
        size: the most keys with a lease at a time.
    """

    def __init__(self, size: int = 10_000) -> None:
        self._leases: OrderedDict[bytes, Lease] = OrderedDict()
        self._taking: set[bytes] = set()
        self._lock = threading.Lock()
        self._size = size

    def spend(self, key: bytes, cost: int, now_s: float) -> tuple[float, ...] | None:
        """Spend `cost` units of the lease of `key`, if it has so many and has not ended.

        Returns:
            What `Lease.now_remaining` says after it; None: ask Redis.
        """
        with self._lock:
            lease = self._leases.get(key)
            if lease is None or lease.units < cost or now_s >= lease.ends_s:
                return None
            lease.units -= cost
            return lease.now_remaining()

    def begin(self, key: bytes) -> tuple[bool, Lease | None]:
        """Ask to take units for `key`: one at a time, or the stranded bound (one lease a process) would not hold.

        Returns:
            Whether the caller may (then it must call `end`), and what is left over of the last lease, to give back.
        """
        with self._lock:
            if key in self._taking or (key not in self._leases and len(self._leases) >= self._size):
                return False, None
            self._taking.add(key)
            lease = self._leases.pop(key, None)
            return True, lease if lease is not None and lease.units else None

    def end(self, key: bytes, lease: Lease | None) -> None:
        """Finish what `begin` allowed, with the units that were granted, or None."""
        with self._lock:
            self._taking.discard(key)
            if lease is not None and lease.units:
                self._leases[key] = lease

    def drop(self, key: bytes) -> None:
        """Forget a lease whose key was reset: its units are no longer paid for."""
        with self._lock:
            self._leases.pop(key, None)

    def empty(self) -> list[Lease]:
        """All that is left, to be given back on close or reload; the book is empty afterwards."""
        with self._lock:
            left = [lease for lease in self._leases.values() if lease.units]
            self._leases.clear()
            return left
