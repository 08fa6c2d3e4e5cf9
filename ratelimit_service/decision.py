"""The arguments of a check (`CheckRequest`) and its result (`Decision`), which has all that response headers need."""

from __future__ import annotations

import math
from typing import NamedTuple

from ratelimit_service.keys import Key
from ratelimit_service.limits import Limit


class CheckRequest(NamedTuple):
    """The arguments of one check, for `check_many`.

    Attributes:
        policy: the policy's name.
        key: one value, or a mapping of the policy's key parts.
        cost: units; None is the policy's own cost.
        tenant: whose limits to use, where the policy has limits for tenants.
    """

    policy: str
    key: Key | None = None
    cost: int | None = None
    tenant: str | None = None


class LimitState(NamedTuple):
    """One limit's state after a decision.

    Attributes:
        limit: the limit itself.
        remaining: units available now.
        reset_after_s: seconds until it is fully reset.
        retry_after_s: seconds until this request could pass; 0 if this limit allowed it, None if it never can.
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
    """Return the limit with the longest wait, else the one with the least left."""
    if len(states) == 1:
        return states[0]
    obstacles = [state for state in states if state.is_obstacle]
    if obstacles:
        return max(obstacles, key=lambda state: float("inf") if state.retry_after_s is None else state.retry_after_s)
    return min(states, key=lambda state: state.remaining / state.limit.capacity)


class Decision:
    """The result of a check. Truthy if allowed.

    Attributes:
        policy: the policy's name.
        policy_version: version of the policy set that decided.
        allowed: whether the request may go on.
        would_deny: a shadow policy would have refused.
        degraded: decided without Redis, by the policy's `on_outage`.
        is_cached: refused from the process's denial cache, without Redis.
        cost: units requested.
        age_s: age of a cached denial; its times are reduced by this.
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
        return tuple([self._state(number) for number in range(len(self._limits))])

    @property
    def first_limit_values(self) -> tuple[int, int]:
        """Units left under the first limit and whole seconds until it is reset: a cheap `limits[0]` for headers."""
        return int(self._values[1]), max(0, math.ceil(self._values[2] / 1e6 - self.age_s))

    def _state(self, number: int) -> LimitState:
        remaining, reset_us, wait_us = self._values[1 + 3 * number : 4 + 3 * number]
        retry_after_s = None if wait_us < 0 else max(0.0, wait_us / 1e6 - self.age_s)
        return LimitState(self._limits[number], int(remaining), max(0.0, reset_us / 1e6 - self.age_s), retry_after_s)

    @property
    def definitions(self) -> tuple[Limit, ...]:
        """The policy's limits without states: the same tuple object for every decision of a compiled policy."""
        return self._limits

    @property
    def binding(self) -> LimitState:
        """The limit that callers are told: the one with the longest wait, else the one with the least left."""
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
        """Seconds until the binding limit is fully reset."""
        return self.binding.reset_after_s

    @property
    def retry_after_s(self) -> float | None:
        """Seconds until the same request could pass; 0 if it passed, None if it never can (cost above capacity)."""
        return 0.0 if self.allowed else self.binding.retry_after_s
