"""Policies (limits that are decided together) and policy sets (all policies, replaced as a whole), as values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from ratelimit_service.errors import PolicyError
from ratelimit_service.limits import Limit

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
LIMITS_MAX = 16


class OnOutage(StrEnum):
    """A policy's decisions while Redis is unavailable; each is flagged `degraded`."""

    OPEN = "open"
    CLOSED = "closed"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits that a request must all pass, decided atomically: a refusal charges none of them.

    Attributes:
        name: letters, digits and `_ . : -`, at most 64; it is a metric label.
        limits: 1 to 16, over any key parts.
        cost: units charged by a check that names no cost.
        on_outage: how to decide without Redis.
        is_shadow: decide and count `would_deny`, but never refuse; counted apart from enforced policies.
        lease: units that a process takes at once and spends locally; 0 sends every check to Redis.
        tenants: limits that replace `limits` for a tenant.
        one_slot: on a cluster, keep all of the policy's keys on one node; required if its limits share no key part.
    """

    name: str
    limits: tuple[Limit, ...]
    cost: int = 1
    on_outage: OnOutage = OnOutage.OPEN
    is_shadow: bool = False
    lease: int = 0
    tenants: Mapping[str, tuple[Limit, ...]] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    one_slot: bool = False

    def __post_init__(self) -> None:
        """Validate the values.

        Raises:
            PolicyError: with the policy's name and the invalid part.
        """
        if not _NAME.fullmatch(self.name):
            raise PolicyError(f"invalid policy name {self.name!r}: use 1 to 64 letters, digits and '_.:-'")
        if self.cost < 0 or self.lease < 0:
            raise PolicyError(f"policy {self.name!r}: cost and lease can't be negative")
        for limits in (self.limits, *self.tenants.values()):
            self._check_limits(limits)

    def _check_limits(self, limits: tuple[Limit, ...]) -> None:
        if not 1 <= len(limits) <= LIMITS_MAX:
            raise PolicyError(f"policy {self.name!r} has {len(limits)} limits; the number must be 1 to {LIMITS_MAX}")
        if len(set(limits)) != len(limits):
            raise PolicyError(f"policy {self.name!r} has the same limit twice, which would charge it twice")
        if self.lease and any(limit.is_in_flight for limit in limits):
            raise PolicyError(f"policy {self.name!r}: slots in flight can't be leased; remove `lease`")
        if self.lease > min(limit.capacity for limit in limits):
            raise PolicyError(f"policy {self.name!r}: a lease of {self.lease} exceeds its smallest limit")

    def limits_for(self, tenant: str | None) -> tuple[Limit, ...]:
        """Return the tenant's own limits, or the policy's."""
        return self.limits if tenant is None else self.tenants.get(tenant, self.limits)

    @classmethod
    def parse(
        cls,
        name: str,
        *limits: str,
        cost: int = 1,
        on_outage: str = OnOutage.OPEN,
        is_shadow: bool = False,
        lease: int = 0,
        tenants: Mapping[str, Iterable[str]] = MappingProxyType({}),
        one_slot: bool = False,
    ) -> Policy:
        """Return a policy from limits as text: `Policy.parse("api", "100/minute per user")`.

        Raises:
            PolicyError: a limit can't be parsed, or the values contradict each other.
        """
        return cls(
            name,
            tuple(map(Limit.parse, limits)),
            cost,
            OnOutage(on_outage),
            is_shadow,
            lease,
            MappingProxyType({tenant: tuple(map(Limit.parse, texts)) for tenant, texts in tenants.items()}),
            one_slot,
        )


class PolicySet(Mapping[str, Policy]):
    """Immutable mapping of policies by name; a reload replaces the whole set.

    Attributes:
        version: the version passed in, else a hash of the content.
        is_shadow: turns every policy into a shadow policy.
    """

    __slots__ = ("_by_name", "is_shadow", "version")

    def __init__(self, policies: Iterable[Policy], *, version: str | None = None, is_shadow: bool = False) -> None:
        self._by_name: dict[str, Policy] = {}
        for policy in policies:
            if policy.name in self._by_name:
                raise PolicyError(f"policy {policy.name!r} is defined twice")
            self._by_name[policy.name] = policy
        self.is_shadow = is_shadow
        self.version = version or hashlib.sha256(repr((self._by_name, is_shadow)).encode()).hexdigest()[:12]

    def __getitem__(self, name: str) -> Policy:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)
