"""Policies compiled for checks: what every check needs is computed once per reload."""

from __future__ import annotations

from ratelimit_service.denial_cache import DenialCache
from ratelimit_service.errors import PolicyError, UsageError
from ratelimit_service.keys import KeyMaker
from ratelimit_service.lease import LeaseTable
from ratelimit_service.limits import AMOUNT_MAX, Limit
from ratelimit_service.local import LocalLimit
from ratelimit_service.metrics import Metrics
from ratelimit_service.policy import OnOutage, Policy, PolicySet
from ratelimit_service.script import Op, pack_limits, pack_request, reply_struct

_REQUEST_CACHE_SIZE = 256
_CLOSED_RETRY_US = 1_000_000.0


class CompiledPolicy:
    """A policy under one set of limits: its own, or a tenant's."""

    def __init__(
        self, policy: Policy, limits: tuple[Limit, ...], policies: PolicySet, prefix: str, metrics: Metrics
    ) -> None:
        self.name = policy.name
        self.version = policies.version
        self.limits = limits
        self.local_limits: tuple[LocalLimit, ...] | None = None
        self.cost = policy.cost
        self.on_outage = policy.on_outage
        is_open = policy.on_outage is OnOutage.OPEN
        state = [(float(limit.capacity), 0.0, 0.0) if is_open else (0.0, 0.0, _CLOSED_RETRY_US) for limit in limits]
        self.outage_state = tuple(value for values in state for value in values)
        self.is_shadow = policy.is_shadow or policies.is_shadow
        self.lease = 0 if self.is_shadow else policy.lease
        self.keys = KeyMaker(prefix, policy.name, limits, is_shadow=self.is_shadow, one_slot=policy.one_slot)
        self.packed = pack_limits(limits)
        self.in_flight = tuple(number for number, limit in enumerate(limits) if limit.is_in_flight)
        self.packed_slots = pack_limits([limits[number] for number in self.in_flight])
        # Slots can be released at any moment, so a refusal of one must not be cached.
        self.is_cacheable = not self.in_flight and not self.is_shadow
        self.reply = reply_struct(len(limits))
        self.counters = metrics.policy(policy.name)
        self._requests: dict[tuple[Op, int], bytes] = {}

    def request(self, op: Op, cost: int) -> bytes:
        """Return the packed CHECK or PEEK for a cost.

        Raises:
            UsageError: the cost is negative or not an integer.
        """
        packed = self._requests.get((op, cost))
        if packed is None:
            check_cost(cost)
            packed = pack_request(op, len(self.limits), self.packed, cost)
            if len(self._requests) < _REQUEST_CACHE_SIZE:
                self._requests[op, cost] = packed
        return packed

    @property
    def longest_us(self) -> int:
        """Longest TTL of its keys, in microseconds."""
        return max(limit.full_us for limit in self.limits)


def check_cost(cost: int) -> None:
    """Validate a cost.

    Raises:
        UsageError: it is not an integer from 0 to 2**50.
    """
    if not isinstance(cost, int) or isinstance(cost, bool) or not 0 <= cost < AMOUNT_MAX:
        raise UsageError(f"a cost must be an integer from 0 to 2**50, not {cost!r}; use refund() to give units back")


class CompiledPolicySet:
    """A compiled policy set with the denials and leases that are valid only under it; a reload replaces it as a whole.

    Attributes:
        source: the policy set.
    """

    def __init__(self, policies: PolicySet, *, prefix: str, metrics: Metrics, denials: int, is_cluster: bool) -> None:
        self.source = policies
        self.denials = DenialCache(denials)
        self.leases = LeaseTable()
        self._by_name: dict[str, CompiledPolicy] = {}
        self._by_tenant: dict[tuple[str, str], CompiledPolicy] = {}
        for policy in policies.values():
            self._by_name[policy.name] = CompiledPolicy(policy, policy.limits, policies, prefix, metrics)
            for tenant, limits in policy.tenants.items():
                self._by_tenant[policy.name, tenant] = CompiledPolicy(policy, limits, policies, prefix, metrics)
        if is_cluster:
            for compiled in (*self._by_name.values(), *self._by_tenant.values()):
                _check_slots(compiled)

    def lookup(self, policy: str, tenant: str | None) -> CompiledPolicy:
        """Return the compiled policy for a tenant.

        Raises:
            UsageError: the policy is unknown; the message lists those that exist.
        """
        if tenant is not None and (policy, tenant) in self._by_tenant:
            return self._by_tenant[policy, tenant]
        try:
            return self._by_name[policy]
        except KeyError:
            raise UsageError(f"no policy {policy!r}; there are {', '.join(sorted(self._by_name)) or 'none'}") from None


def _check_slots(compiled: CompiledPolicy) -> None:
    if compiled.keys.spans_slots:
        raise PolicyError(
            f"policy {compiled.name!r}: its limits ({'; '.join(limit.text for limit in compiled.limits)}) have no key part in "
            "common, so a cluster could place them on different nodes. Give all limits a common part (such as the "
            "tenant), or set one_slot to keep the whole policy on one node"
        )
