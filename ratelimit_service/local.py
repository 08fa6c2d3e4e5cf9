"""What a policy does without Redis if it says `local`: the same limits in this process, divided by the instances."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from ratelimit_service.limits import Algorithm, Limit


class Share(NamedTuple):
    """One instance's part of a limit, worked out once, since an outage's decisions must cost next to nothing.

    Attributes:
        is_slots: it counts what is in flight.
        whole: the limit's own capacity, which no cost may exceed.
        capacity: this instance's.
        interval_us: from one unit to the next; for slots the lease.
    """

    is_slots: bool
    whole: int
    capacity: int
    interval_us: float


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

    def shares(self, limits: Sequence[Limit]) -> tuple[Share, ...]:
        """This instance's part of each limit."""
        return tuple(self._share(limit) for limit in limits)

    def _share(self, limit: Limit) -> Share:
        capacity = max(1, limit.capacity // self._instances)
        if limit.algorithm is Algorithm.IN_FLIGHT:
            return Share(True, limit.capacity, capacity, float(limit.period_us))
        each_us = limit.interval_us if limit.algorithm is Algorithm.GCRA else limit.period_us / limit.quantity
        return Share(False, limit.capacity, capacity, each_us * self._instances)

    def decide(
        self,
        shares: Sequence[Share],
        keys: Sequence[bytes],
        cost: int,
        now_s: float,
        *,
        slot_id: bytes,
        is_charged: bool,
    ) -> tuple[float, ...]:
        """Decide as the script does, all limits or none.

        Args:
            shares: of the policy's limits.
            keys: their Redis keys.
            cost: units.
            now_s: a monotonic time.
            slot_id: the id of the slots to take.
            is_charged: False to look only.

        Returns:
            The same values as the script's reply.
        """
        now_us = now_s * 1e6
        granted = True
        with self._lock:
            states = []
            for share, key in zip(shares, keys, strict=True):
                state = (
                    self._slots_state(share, key, cost, now_us) if share[0] else self._state(share, key, cost, now_us)
                )
                granted = granted and state[2] == 0
                states.append(state)
            if granted and is_charged and cost > 0:
                states = [
                    self._charge(share, key, cost, now_us, slot_id, state)
                    for share, key, state in zip(shares, keys, states, strict=True)
                ]
        values = [float(cost) if granted else -1.0]
        for state in states:
            values += state
        return tuple(values)

    def release(self, keys: Sequence[bytes], lease: bytes) -> None:
        """Give slots back."""
        with self._lock:
            for key in keys:
                self._slots.get(key, {}).pop(lease, None)

    def _slots_state(self, share: Share, key: bytes, cost: int, now_us: float) -> tuple[float, float, float]:
        held = self._slots.get(key, {})
        for lease in [lease for lease, ends_us in held.items() if ends_us <= now_us]:
            del held[lease]
        ends = sorted(held.values())
        room = share.capacity - len(held)
        wait = ends[0] - now_us if cost > 0 and room < 1 else 0.0
        return float(room), ends[-1] - now_us if ends else 0.0, wait

    def _state(self, share: Share, key: bytes, cost: int, now_us: float) -> tuple[float, float, float]:
        _, whole, capacity, interval_us = share
        ahead_us = self._arrivals.get(key, now_us) - now_us
        if ahead_us <= 0:
            ahead_us, room = 0.0, capacity
        else:
            room = capacity - math.ceil(ahead_us / interval_us)
        if cost <= room:
            return float(room), ahead_us, 0.0
        # A cost above this instance's share passes once the share is full, so that it is not refused for ever.
        wait = -1.0 if cost > whole else max(0.0, ahead_us + (min(cost, capacity) - capacity) * interval_us)
        return float(max(room, 0)), ahead_us, wait

    def _charge(
        self, share: Share, key: bytes, cost: int, now_us: float, lease: bytes, state: tuple[float, float, float]
    ) -> tuple[float, float, float]:
        room, reset_us, _ = state
        if share.is_slots:
            self._slots.setdefault(key, {})[lease] = now_us + share.interval_us
            _trim(self._slots, self._size)
            return room - 1, share.interval_us, 0.0
        reset_us += cost * share.interval_us
        self._arrivals[key] = now_us + reset_us
        self._arrivals.move_to_end(key)
        _trim(self._arrivals, self._size)
        return max(room - cost, 0.0), reset_us, 0.0


def _trim(table: OrderedDict[bytes, float] | OrderedDict[bytes, dict[bytes, float]], size: int) -> None:
    while len(table) > size:
        table.popitem(last=False)
