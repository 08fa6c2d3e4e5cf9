"""What a policy does without Redis if it says `local`: the same limits in this process, divided by the instances."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence

from ratelimit_service.limits import Algorithm, Limit


class LocalLimiter:
    """Counts in memory: every rate as GCRA at 1 / `instances` of its limit, slots as a plain count.

    An instance gets at least one unit, so with more instances than units the sum can exceed the limit.

    Args:
        instances: how many processes share the limits.
        size: the most keys remembered; the least recently used goes first.
    """

    def __init__(self, instances: int, size: int = 10_000) -> None:
        self._instances = instances
        self._size = size
        self._arrivals: OrderedDict[bytes, float] = OrderedDict()
        self._slots: OrderedDict[bytes, dict[bytes, float]] = OrderedDict()
        self._lock = threading.Lock()

    def decide(
        self,
        limits: Sequence[Limit],
        keys: Sequence[bytes],
        cost: int,
        now_s: float,
        *,
        slot_id: bytes,
        is_charged: bool,
    ) -> tuple[float, ...]:
        """Decide as the script does, all limits or none.

        Args:
            limits: the policy's limits.
            keys: their Redis keys.
            cost: units.
            now_s: a monotonic time.
            slot_id: the id of the slots to take.
            is_charged: False to look only.

        Returns:
            The same values as the script's reply.
        """
        now_us = now_s * 1e6
        with self._lock:
            states = [self._state(limit, key, cost, now_us) for limit, key in zip(limits, keys, strict=True)]
            granted = all(wait == 0 for _, _, wait in states)
            if granted and is_charged and cost > 0:
                states = [
                    self._charge(limit, key, cost, now_us, slot_id, state)
                    for limit, key, state in zip(limits, keys, states, strict=True)
                ]
        values = [float(cost) if granted else -1.0]
        for state in states:
            values.extend(state)
        return tuple(values)

    def release(self, keys: Sequence[bytes], lease: bytes) -> None:
        """Give slots back."""
        with self._lock:
            for key in keys:
                self._slots.get(key, {}).pop(lease, None)

    def _share(self, limit: Limit) -> tuple[int, float]:
        return max(1, limit.capacity // self._instances), float(limit.interval_us)

    def _state(self, limit: Limit, key: bytes, cost: int, now_us: float) -> tuple[float, float, float]:
        capacity, period_us = self._share(limit)
        if limit.algorithm is Algorithm.IN_FLIGHT:
            held = self._slots.get(key, {})
            for lease in [lease for lease, ends_us in held.items() if ends_us <= now_us]:
                del held[lease]
            ends = sorted(held.values())
            room = capacity - len(held)
            wait = ends[0] - now_us if cost > 0 and room < 1 else 0.0
            return float(room), ends[-1] - now_us if ends else 0.0, wait
        interval_us = self._interval(limit, period_us)
        tat = max(self._arrivals.get(key, now_us), now_us)
        room = capacity - math.ceil((tat - now_us) / interval_us)
        if cost > limit.capacity:
            wait = -1.0
        elif cost > room:
            # A cost above this instance's share passes once the share is full, so that it is not refused for ever.
            wait = max(0.0, tat + (min(cost, capacity) - capacity) * interval_us - now_us)
        else:
            wait = 0.0
        return float(max(room, 0)), tat - now_us, wait

    def _interval(self, limit: Limit, period_us: float) -> float:
        unit_us = period_us if limit.algorithm is Algorithm.GCRA else period_us / limit.quantity
        return unit_us * self._instances

    def _charge(
        self, limit: Limit, key: bytes, cost: int, now_us: float, lease: bytes, state: tuple[float, float, float]
    ) -> tuple[float, float, float]:
        room, reset_us, _ = state
        if limit.algorithm is Algorithm.IN_FLIGHT:
            self._slots.setdefault(key, {})[lease] = now_us + limit.period_us
            self._trim(self._slots)
            return room - 1, float(limit.period_us), 0.0
        reset_us += cost * self._interval(limit, float(limit.interval_us))
        self._arrivals[key] = now_us + reset_us
        self._arrivals.move_to_end(key)
        self._trim(self._arrivals)
        return room - cost, reset_us, 0.0

    def _trim(self, table: OrderedDict[bytes, float] | OrderedDict[bytes, dict[bytes, float]]) -> None:
        while len(table) > self._size:
            table.popitem(last=False)
