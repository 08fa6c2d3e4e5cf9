"""The answer to a check: everything that a response's headers need, with no second call."""

from __future__ import annotations

import math
from typing import NamedTuple

from ratelimit_service.limits import Limit


class LimitState(NamedTuple):
    """One limit of a decision, after it.

    Attributes:
        limit: the limit itself.
        remaining: units that could be had now.
        reset_after_s: seconds until it is as good as unused.
        retry_after_s: seconds until this request could pass; 0 where it was not the obstacle, None if it never can.
    """

    limit: Limit
    remaining: int
    reset_after_s: float
    retry_after_s: float | None

    @property
    def is_obstacle(self) -> bool:
        """Whether this limit refused."""
        return self.retry_after_s is None or self.retry_after_s > 0


def binding_of(states: tuple[LimitState, ...]) -> LimitState:
    """Of a decision's limits the one to wait longest for, else the one with the least left."""
    if len(states) == 1:
        return states[0]
    obstacles = [state for state in states if state.is_obstacle]
    if obstacles:
        return max(obstacles, key=lambda state: float("inf") if state.retry_after_s is None else state.retry_after_s)
    return min(states, key=lambda state: state.remaining / state.limit.capacity)


class Decision:
    """What was decided. Truthy if allowed.

    Attributes:
        policy: the policy's name.
        policy_version: the version of the set that it came from.
        allowed: go on, or refuse.
        would_deny: a shadow policy's true answer was no.
        degraded: Redis was not asked: answered by the policy's `on_outage`.
        is_cached: refused from the process's memory of denials, without Redis.
        cost: units asked for.
        age_s: how old a cached denial is; all its times have been moved on by this.
    """

    __slots__ = (
        "_limits",
        "_values",
        "age_s",
        "allowed",
        "cost",
        "degraded",
        "is_cached",
        "policy",
        "policy_version",
        "would_deny",
    )

    def __init__(
        self,
        policy: str,
        policy_version: str,
        limits: tuple[Limit, ...],
        values: tuple[float, ...],
        cost: int,
        allowed: bool,  # noqa: FBT001 - by position because this runs once per check, in a few hundred nanoseconds
        would_deny: bool = False,  # noqa: FBT001, FBT002 - the same
        degraded: bool = False,  # noqa: FBT001, FBT002 - the same
        is_cached: bool = False,  # noqa: FBT001, FBT002 - the same
        age_s: float = 0.0,
    ) -> None:
        self.policy = policy
        self.policy_version = policy_version
        self._limits = limits
        self._values = values
        self.cost = cost
        self.allowed = allowed
        self.would_deny = would_deny
        self.degraded = degraded
        self.is_cached = is_cached
        self.age_s = age_s

    def __bool__(self) -> bool:
        return self.allowed

    def __repr__(self) -> str:
        flags = "".join(f", {name}" for name in ("would_deny", "degraded", "is_cached") if getattr(self, name))
        return (
            f"Decision({self.policy!r}, {'allowed' if self.allowed else 'denied'}{flags}, limit={self.limit}, "
            f"remaining={self.remaining}, reset_after_s={self.reset_after_s:.3f}, retry_after_s={self.retry_after_s})"
        )

    @property
    def limits(self) -> tuple[LimitState, ...]:
        """The state of every limit of the policy, in its order."""
        if len(self._limits) == 1:
            return (self._state(self._limits[0], 1),)
        return tuple([self._state(limit, 1 + 3 * number) for number, limit in enumerate(self._limits)])

    @property
    def of_first(self) -> tuple[int, int]:
        """Units left under the first limit, and whole seconds until it is as good as unused: `limits[0]` without its cost."""
        return int(self._values[1]), max(0, math.ceil(self._values[2] / 1e6 - self.age_s))

    def _state(self, limit: Limit, at: int) -> LimitState:
        remaining, reset_us, wait_us = self._values[at : at + 3]
        age_s = self.age_s
        return LimitState(
            limit,
            int(remaining),
            max(0.0, reset_us / 1e6 - age_s),
            None if wait_us < 0 else max(0.0, wait_us / 1e6 - age_s) if wait_us else 0.0,
        )

    @property
    def definitions(self) -> tuple[Limit, ...]:
        """The policy's limits, without their states; the same tuple for every decision under one plan."""
        return self._limits

    @property
    def binding(self) -> LimitState:
        """The limit to tell the caller about: the one to wait longest for, else the one with the least left."""
        return binding_of(self.limits)

    @property
    def refused_by(self) -> Limit | None:
        """The limit that refused (in shadow: would have), or None."""
        binding = self.binding
        return binding.limit if binding.is_obstacle else None

    @property
    def limit(self) -> int:
        """The binding limit's capacity: X-RateLimit-Limit."""
        return self.binding.limit.capacity

    @property
    def remaining(self) -> int:
        """Units left under the binding limit: X-RateLimit-Remaining."""
        return self.binding.remaining

    @property
    def reset_after_s(self) -> float:
        """Seconds until the binding limit is as good as unused."""
        return self.binding.reset_after_s

    @property
    def retry_after_s(self) -> float | None:
        """Seconds until the same request could pass: 0 if it passed, None if it never can (cost above capacity)."""
        if self.allowed:
            return 0.0
        return self.binding.retry_after_s
