"""Settings of a limiter: deadlines, connections, circuit breakers, caches and batches. Policies are apart."""

from __future__ import annotations

from dataclasses import dataclass

from ratelimit_service.errors import UsageError


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of a limiter; the defaults suit a service of a few processes beside a Redis in the same network.

    Attributes:
        prefix: prefix of every Redis key; keep it short.
        deadline_s: longest wait of a check for Redis, in seconds, connecting and queueing included.
        connections: maximum connections to one Redis server; further callers wait, up to the deadline.
        breaker_threshold: consecutive failures that open a server's circuit breaker.
        breaker_open_s: seconds between probes while it is open; bounds how late a recovery is noticed.
        instances: processes that share the limits; the outage policy `local` grants each 1 / instances.
        denials: maximum denials cached in the process; 0 sends every check to Redis.
        denial_max_s: longest time a denial is cached, and so how late another process's refund or reset is seen.
        lease_max_s: how long leased units may be spent, in seconds.
        batch: async only: maximum requests in one script call.
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
        """Validate the settings.

        Raises:
            UsageError: with the invalid setting.
        """
        if self.deadline_s <= 0 or self.breaker_open_s < self.deadline_s:
            raise UsageError("deadline_s must be above 0 and at most breaker_open_s, or two probes could run at once")
        if min(self.connections, self.breaker_threshold, self.instances, self.batch) < 1 or self.denials < 0:
            raise UsageError(
                "connections, breaker_threshold, instances and batch must be at least 1, denials at least 0"
            )
        if set(self.prefix) & set("{}"):
            raise UsageError(f"the prefix {self.prefix!r} has braces, which would mark a cluster hash tag; remove them")
