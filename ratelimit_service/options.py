"""How a limiter behaves, apart from its policies."""

from __future__ import annotations

from dataclasses import dataclass

from ratelimit_service.errors import UsageError


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of a limiter; the defaults suit a service of a few processes beside a Redis in the same network.

    Attributes:
        prefix: begins every Redis key; short, since each key carries it.
        deadline_s: how long a check may wait for Redis, connecting and queueing included.
        connections: the most connections to one Redis server; callers past it wait, up to the deadline.
        breaker_threshold: failures in a row after which Redis is left alone.
        breaker_open_s: how long until one caller tries again, and how quickly an outage's end is noticed.
        instances: processes that share the limits; a `local` outage policy gives each 1 / instances.
        denials: the most denials remembered in the process; 0 always asks Redis.
        denial_max_s: the longest that a denial is remembered, which is also how long this process may not see that
            another one refunded or reset the key.
        lease_max_s: how long leased units may be spent after they were taken.
        batch: async only: the most requests in one script call.
    """

    prefix: str = "rl"
    deadline_s: float = 0.05
    connections: int = 32
    breaker_threshold: int = 3
    breaker_open_s: float = 0.25
    instances: int = 1
    denials: int = 10_000
    denial_max_s: float = 60.0
    lease_max_s: float = 1.0
    batch: int = 128

    def __post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            UsageError: with the setting at fault.
        """
        if self.deadline_s <= 0 or self.breaker_open_s < self.deadline_s:
            raise UsageError("deadline_s must be above 0 and at most breaker_open_s, or two probes could run at once")
        if min(self.connections, self.breaker_threshold, self.instances, self.batch) < 1 or self.denials < 0:
            raise UsageError("connections, breaker_threshold, instances and batch are at least 1, denials at least 0")
        if set(self.prefix) & set("{}"):
            raise UsageError(f"a prefix can't hold braces, which mark the cluster's hash tag: {self.prefix!r}")
