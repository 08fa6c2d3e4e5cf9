"""Leases: units that a process has prepaid in Redis and spends locally, so that a limit is never exceeded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ratelimit_service.compiled_policy import CompiledPolicy


@dataclass(slots=True)
class Lease:
    """Unspent units of one key, already charged in Redis. `values` is the reply that granted them."""

    compiled: CompiledPolicy
    keys: list[bytes]
    units: int
    ends_s: float
    values: tuple[float, ...]

    def current_values(self) -> tuple[float, ...]:
        """Return the granting reply with the unspent units added to each limit's remaining ones."""
        return tuple(value + self.units if index % 3 == 1 else value for index, value in enumerate(self.values))


class LeaseTable:
    """The process's leases under one compiled policy set.

    Args:
        size: maximum keys with a lease at a time.
    """

    def __init__(self, size: int = 10_000) -> None:
        self._leases: OrderedDict[bytes, Lease] = OrderedDict()
        self._taking: set[bytes] = set()
        self._lock = threading.Lock()
        self._size = size

    def spend(self, key: bytes, cost: int, now_s: float) -> tuple[float, ...] | None:
        """Spend `cost` units of the lease of `key`.

        Returns:
            The lease's current values; None if it has too few units or has ended.
        """
        with self._lock:
            lease = self._leases.get(key)
            if lease is None or lease.units < cost or now_s >= lease.ends_s:
                return None
            lease.units -= cost
            return lease.current_values()

    def begin_taking(self, key: bytes) -> tuple[bool, Lease | None]:
        """Reserve the taking of a lease for `key`; one caller at a time, so that a process strands at most one lease.

        Returns:
            Whether the caller may take one (then it must call `finish_taking`), and the old lease's remainder to refund.
        """
        with self._lock:
            if key in self._taking or (key not in self._leases and len(self._leases) >= self._size):
                return False, None
            self._taking.add(key)
            lease = self._leases.pop(key, None)
            return True, lease if lease is not None and lease.units else None

    def finish_taking(self, key: bytes, lease: Lease | None) -> None:
        """End what `begin_taking` reserved, with the granted lease or None."""
        with self._lock:
            self._taking.discard(key)
            if lease is not None and lease.units:
                self._leases[key] = lease

    def drop(self, key: bytes) -> None:
        """Discard the lease of a key that was reset: its units are no longer charged in Redis."""
        with self._lock:
            self._leases.pop(key, None)

    def pop_all(self) -> list[Lease]:
        """Remove and return all leases with unspent units, to refund them on close or reload."""
        with self._lock:
            leases = [lease for lease in self._leases.values() if lease.units]
            self._leases.clear()
            return leases
