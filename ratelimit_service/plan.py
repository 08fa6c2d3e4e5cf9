"""A policy made ready: everything about it that a check needs, worked out once per reload instead of per check."""

from __future__ import annotations

from ratelimit_service.denial_cache import DenialCache
from ratelimit_service.errors import PolicyError, UsageError
from ratelimit_service.keys import KeyMaker
from ratelimit_service.lease import LeaseBook
from ratelimit_service.limits import Algorithm, Limit
from ratelimit_service.local import Share
from ratelimit_service.metrics import Metrics
from ratelimit_service.policy import OnOutage, Policy, PolicySet
from ratelimit_service.script import Op, pack_limits, pack_request, reply_struct

_REQUESTS_KEPT = 256
_CLOSED_RETRY_US = 1_000_000.0


class Plan:
    """One policy, or one tenant's version of it."""

    __slots__ = (
        "_requests",
        "cost",
        "in_flight",
        "is_cacheable",
        "is_shadow",
        "keys",
        "lease",
        "limits",
        "name",
        "on_outage",
        "outage_state",
        "packed",
        "packed_slots",
        "reply",
        "shares",
        "tallies",
        "version",
    )

    def __init__(
        self, policy: Policy, limits: tuple[Limit, ...], policies: PolicySet, prefix: str, metrics: Metrics
    ) -> None:
        self.name = policy.name
        self.version = policies.version
        self.limits = limits
        self.shares: tuple[Share, ...] | None = None
        self.cost = policy.cost
        self.on_outage = policy.on_outage
        is_open = policy.on_outage is OnOutage.OPEN
        state = [(float(limit.capacity), 0.0, 0.0) if is_open else (0.0, 0.0, _CLOSED_RETRY_US) for limit in limits]
        self.outage_state = tuple(value for values in state for value in values)
        self.is_shadow = policy.is_shadow or policies.is_shadow
        self.lease = 0 if self.is_shadow else policy.lease
        self.keys = KeyMaker(prefix, policy.name, limits, is_shadow=self.is_shadow, one_slot=policy.one_slot)
        self.packed = pack_limits(limits)
        self.in_flight = tuple(at for at, limit in enumerate(limits) if limit.algorithm is Algorithm.IN_FLIGHT)
        self.packed_slots = pack_limits([limits[at] for at in self.in_flight])
        # A slot comes back whenever its holder is done, so a refusal of slots says nothing about the next moment.
        self.is_cacheable = not self.in_flight and not self.is_shadow
        self.reply = reply_struct(len(limits))
        self.tallies = metrics.policy(policy.name)
        self._requests: dict[tuple[Op, int], bytes] = {}

    def request(self, op: Op, cost: int) -> bytes:
        """The packed CHECK or PEEK for a cost.

        Raises:
            UsageError: the cost is negative or not whole.
        """
        packed = self._requests.get((op, cost))
        if packed is None:
            check_cost(cost)
            packed = pack_request(op, len(self.limits), self.packed, cost)
            if len(self._requests) < _REQUESTS_KEPT:
                self._requests[op, cost] = packed
        return packed

    @property
    def longest_us(self) -> int:
        """The longest time that any of its counts is kept, in microseconds."""
        return max(limit.full_us for limit in self.limits)


def check_cost(cost: int) -> None:
    """Refuse a cost that has no meaning.

    Raises:
        UsageError: it is negative (give units back with `refund`), or not a whole number below 2**50.
    """
    if not isinstance(cost, int) or isinstance(cost, bool) or not 0 <= cost < 2**50:
        raise UsageError(f"a cost is a whole number from 0 to 2**50, not {cost!r}; to give units back, use refund")


class Rulebook:
    """A policy set made ready, with the memories that hold only under it. Replaced as one object on reload."""

    def __init__(self, policies: PolicySet, *, prefix: str, metrics: Metrics, denials: int, is_cluster: bool) -> None:
        self.policies = policies
        self.denials = DenialCache(denials)
        self.leases = LeaseBook()
        self._plans: dict[str, Plan] = {}
        self._tenants: dict[tuple[str, str], Plan] = {}
        for policy in policies.values():
            self._plans[policy.name] = Plan(policy, policy.limits, policies, prefix, metrics)
            for tenant, limits in policy.tenants.items():
                self._tenants[policy.name, tenant] = Plan(policy, limits, policies, prefix, metrics)
        if is_cluster:
            for plan in (*self._plans.values(), *self._tenants.values()):
                _check_slots(plan)

    def plan(self, policy: str, tenant: str | None) -> Plan:
        """The plan of a policy for a tenant.

        Raises:
            UsageError: no such policy; the message lists those that exist.
        """
        if tenant is not None and (policy, tenant) in self._tenants:
            return self._tenants[policy, tenant]
        try:
            return self._plans[policy]
        except KeyError:
            raise UsageError(f"no policy {policy!r}; there are {', '.join(sorted(self._plans)) or 'none'}") from None


def _check_slots(plan: Plan) -> None:
    if plan.keys.spans_slots:
        raise PolicyError(
            f"policy {plan.name!r}: its limits ({'; '.join(limit.text for limit in plan.limits)}) have no key part in "
            "common, so a cluster could place them on different nodes, where no script can decide them together. Give "
            "each limit a common part (such as the tenant), or set one_slot to keep the whole policy on one node"
        )
