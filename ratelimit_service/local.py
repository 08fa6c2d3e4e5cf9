"""Decisions in the process for the outage policy `local`: the same limits, divided by the number of instances."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from ratelimit_service.limits import Algorithm, Limit


class LocalLimit(NamedTuple):
    """One instance's share of a limit, computed once, since decisions in an outage must be cheap.

    Attributes:
        is_slots: whether it counts slots in flight.
        full_capacity: the limit's own capacity, the maximum cost.
        capacity: this instance's.
        interval_us: microseconds per unit; for slots the lease.
    """

    is_slots: bool
    full_capacity: int
    capacity: int
    interval_us: float


class LocalLimiter:
    """Count in memory: every rate as GCRA at 1 / `instances` of its limit, slots as a plain count.

    An instance gets at least one unit, so with more instances than units the sum can exceed the limit.

    Args:
        instances: number of processes that share the limits.
        size: maximum keys; the least recently used is dropped first.
    """

    def __init__(self, instances: int, size: int = 10_000) -> None:
        self._instances = instances
        self._size = size
        self._arrivals: OrderedDict[bytes, float] = OrderedDict()
        self._slots: OrderedDict[bytes, dict[bytes, float]] = OrderedDict()
        self._lock = threading.Lock()

    def local_limits(self, limits: Sequence[Limit]) -> tuple[LocalLimit, ...]:
        """Return this instance's share of each limit."""
        return tuple(self._local_limit(limit) for limit in limits)

    def _local_limit(self, limit: Limit) -> LocalLimit:
        capacity = max(1, limit.capacity // self._instances)
        if limit.is_in_flight:
            return LocalLimit(True, limit.capacity, capacity, float(limit.period_us))
        interval_us = limit.interval_us if limit.algorithm is Algorithm.GCRA else limit.period_us / limit.quantity
        return LocalLimit(False, limit.capacity, capacity, interval_us * self._instances)

    def decide(
        self,
        local_limits: Sequence[LocalLimit],
        keys: Sequence[bytes],
        cost: int,
        now_s: float,
        *,
        slot_id: bytes,
        is_charged: bool,
    ) -> tuple[float, ...]:
        """Decide as the script does, all limits or none.

        Args:
            local_limits: one for each limit of the policy.
            keys: their Redis keys.
            cost: units.
            now_s: monotonic seconds.
            slot_id: id of the slots to take.
            is_charged: False for a peek.

        Returns:
            The same values as the script's reply.
        """
        now_us = now_s * 1e6
        with self._lock:
            states = [
                (self._slots_state if local_limit.is_slots else self._state)(local_limit, key, cost, now_us)
                for local_limit, key in zip(local_limits, keys, strict=True)
            ]
            is_granted = all(state[2] == 0 for state in states)
            if is_granted and is_charged and cost > 0:
                states = [
                    self._charge(local_limit, key, cost, now_us, slot_id, state)
                    for local_limit, key, state in zip(local_limits, keys, states, strict=True)
                ]
        return (float(cost) if is_granted else -1.0, *(value for state in states for value in state))

    def release(self, keys: Sequence[bytes], slot_id: bytes) -> None:
        """Release slots."""
        with self._lock:
            for key in keys:
                self._slots.get(key, {}).pop(slot_id, None)

    def _slots_state(self, local_limit: LocalLimit, key: bytes, cost: int, now_us: float) -> tuple[float, float, float]:
        leases = self._slots.get(key, {})
        for slot_id in [slot_id for slot_id, ends_us in leases.items() if ends_us <= now_us]:
            del leases[slot_id]
        ends = sorted(leases.values())
        room = local_limit.capacity - len(leases)
        wait = ends[0] - now_us if cost > 0 and room < 1 else 0.0
        return float(room), ends[-1] - now_us if ends else 0.0, wait

    def _state(self, local_limit: LocalLimit, key: bytes, cost: int, now_us: float) -> tuple[float, float, float]:
        _, full_capacity, capacity, interval_us = local_limit
        ahead_us = self._arrivals.get(key, now_us) - now_us
        if ahead_us <= 0:
            ahead_us, room = 0.0, capacity
        else:
            room = capacity - math.ceil(ahead_us / interval_us)
        if cost <= room:
            return float(room), ahead_us, 0.0
        # A cost above this instance's share passes once the share is full, or it would be refused forever.
        wait = -1.0 if cost > full_capacity else max(0.0, ahead_us + (min(cost, capacity) - capacity) * interval_us)
        return float(max(room, 0)), ahead_us, wait

    def _charge(
        self,
        local_limit: LocalLimit,
        key: bytes,
        cost: int,
        now_us: float,
        slot_id: bytes,
        state: tuple[float, float, float],
    ) -> tuple[float, float, float]:
        room, reset_us, _ = state
        if local_limit.is_slots:
            self._slots.setdefault(key, {})[slot_id] = now_us + local_limit.interval_us
            _trim(self._slots, self._size)
            return room - 1, local_limit.interval_us, 0.0
        reset_us += cost * local_limit.interval_us
        self._arrivals[key] = now_us + reset_us
        self._arrivals.move_to_end(key)
        _trim(self._arrivals, self._size)
        return max(room - cost, 0.0), reset_us, 0.0


def _trim(table: OrderedDict[bytes, float] | OrderedDict[bytes, dict[bytes, float]], size: int) -> None:
    while len(table) > size:
        table.popitem(last=False)
