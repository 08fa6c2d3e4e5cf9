"""What each algorithm should do, in plain Python with whole microseconds: the reference for the Lua."""

from dataclasses import dataclass, field


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


@dataclass
class Gcra:
    capacity: int
    interval_us: int
    tat: int = 0

    def room(self, now: int) -> int:
        return self.capacity - ceil_div(max(self.tat, now) - now, self.interval_us)

    def charge(self, now: int, cost: int) -> None:
        self.tat = max(self.tat, now) + cost * self.interval_us

    def refund(self, now: int, cost: int) -> int:
        self.tat = max(self.tat, now)
        back = min(cost, ceil_div(self.tat - now, self.interval_us))
        self.tat = max(self.tat - back * self.interval_us, now)
        if self.tat == now:
            self.tat = 0  # Nothing is stored then, so a clock that goes back finds nothing either.
        return back

    def reset(self, now: int) -> int:
        return max(self.tat - now, 0)


@dataclass
class Window:
    capacity: int
    period_us: int
    is_sliding: bool
    index: int = 0
    current: int = 0
    previous: int = 0

    def at(self, now: int) -> tuple[int, int, int, int]:
        """Window, its count, the one before, and the time since it began."""
        index = now // self.period_us
        if index < self.index:
            return self.index, self.current, self.previous, 0
        if index == self.index:
            return index, self.current, self.previous, now % self.period_us
        return index, 0, self.current if index == self.index + 1 else 0, now % self.period_us

    def room(self, now: int) -> int:
        _, current, previous, elapsed = self.at(now)
        carried = ceil_div(previous * (self.period_us - elapsed), self.period_us) if self.is_sliding else 0
        return self.capacity - current - carried

    def charge(self, now: int, cost: int) -> None:
        self.index, self.current, self.previous, _ = self.at(now)
        self.current += cost

    def refund(self, now: int, cost: int) -> int:
        index, current, previous, _ = self.at(now)
        first = min(cost, current)
        second = min(cost - first, previous) if self.is_sliding else 0
        if first + second:
            self.index, self.current, self.previous = index, current - first, previous - second
        return first + second

    def reset(self, now: int) -> int:
        _, current, previous, elapsed = self.at(now)
        if current:
            return (2 if self.is_sliding else 1) * self.period_us - elapsed
        return self.period_us - elapsed if self.is_sliding and previous else 0


@dataclass
class Log:
    capacity: int
    period_us: int
    times: list[int] = field(default_factory=list)

    def room(self, now: int) -> int:
        self.times = sorted(time for time in self.times if time > now - self.period_us)
        return self.capacity - len(self.times)

    def charge(self, now: int, cost: int) -> None:
        self.times += [max([now, *self.times[-1:]])] * cost

    def refund(self, now: int, cost: int) -> int:
        self.room(now)
        back = min(cost, len(self.times))
        del self.times[len(self.times) - back :]
        return back

    def reset(self, now: int) -> int:
        return max(self.times) + self.period_us - now if self.times else 0


@dataclass
class Slots:
    capacity: int
    lease_us: int
    leases: dict[bytes, int] = field(default_factory=dict)

    def hold(self, now: int, slot: bytes) -> None:
        tick_us = ceil_div(self.lease_us, 2048)
        self.leases[slot] = (now + self.lease_us) // tick_us * tick_us

    def room(self, now: int) -> int:
        return self.capacity - len(self.alive(now))

    def alive(self, now: int) -> dict[bytes, int]:
        self.leases = {slot: ends for slot, ends in self.leases.items() if ends > now}
        return self.leases
