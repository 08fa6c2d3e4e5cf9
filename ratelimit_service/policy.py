"""A policy is one or more limits that are decided together; a policy set is all of them, replaced as a whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from ratelimit_service.errors import PolicyError
from ratelimit_service.limits import Algorithm, Limit

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
LIMITS_MAX = 16


class OnOutage(StrEnum):
    """What a policy answers while Redis can't be asked; the answer is flagged `degraded` in each case."""

    OPEN = "open"
    CLOSED = "closed"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits that a request must all pass, decided in one step: a refusal charges none of them.

    Attributes:
        name: letters, digits and `_ . : -`, at most 64; it is a metric label.
        limits: 1 to 16 of them, over any key parts.
        cost: units that a check charges unless it says otherwise.
        on_outage: what to answer without Redis.
        is_shadow: decide and count `would_deny`, never refuse; its counts are apart from the enforced ones.
        lease: units that a process takes at once and spends locally; 0 asks Redis each time.
        tenants: limits that replace `limits` for a tenant.
        one_slot: on a cluster, keep all of the policy's keys on one node, which a policy whose limits have no key
            part in common needs.
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
        """Refuse contradictions.

        Raises:
            PolicyError: with the policy's name and the part at fault.
        """
        if not _NAME.fullmatch(self.name):
            raise PolicyError(f"a policy's name is 1 to 64 letters, digits and '_.:-', not {self.name!r}")
        if self.cost < 0 or self.lease < 0:
            raise PolicyError(f"policy {self.name!r}: cost and lease can't be negative")
        for limits in (self.limits, *self.tenants.values()):
            self._check_limits(limits)

    def _check_limits(self, limits: tuple[Limit, ...]) -> None:
        if not 1 <= len(limits) <= LIMITS_MAX:
            raise PolicyError(f"policy {self.name!r} has {len(limits)} limits; 1 to {LIMITS_MAX} make sense")
        if len(set(limits)) != len(limits):
            raise PolicyError(f"policy {self.name!r} names the same limit twice: it would be charged twice")
        if self.lease and any(limit.algorithm is Algorithm.IN_FLIGHT for limit in limits):
            raise PolicyError(f"policy {self.name!r}: slots in flight can't be leased ahead; leave out `lease`")
        if self.lease > min(limit.capacity for limit in limits):
            raise PolicyError(f"policy {self.name!r}: a lease of {self.lease} is more than its smallest limit holds")

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
        """A policy from limits in text, such as `Policy.parse("api", "100/minute per user")`.

        Raises:
            PolicyError: a limit can't be read, or the parts contradict each other.
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
    """Policies by name, immutable: a reload replaces the whole set, so no check sees half of one.

    Attributes:
        version: as given, else a hash of the content.
        is_shadow: makes every policy a shadow.
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
