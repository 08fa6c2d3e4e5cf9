"""What the middlewares share: from a request to its policy and key. It decides nothing and waits for nothing.

A request is whatever the server interface gives: an ASGI scope, a WSGI environ.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from ratelimit_service.errors import UsageError
from ratelimit_service.http.rules import Rule
from ratelimit_service.keys import Key, KeyPart
from ratelimit_service.limits import DEFAULT_PART, Algorithm, Limit
from ratelimit_service.policy import Policy, PolicySet

log = logging.getLogger(__name__)
R = TypeVar("R")
Part = Callable[[R], KeyPart]
Name = Callable[[R], str | None]
ANY_ROUTE = "/**"
ROUTE_PART = "route"


def standard_parts(
    *, address: Callable[[R], str], user: Name[R], api_key: Name[R] | None, tenant: Name[R] | None
) -> dict[str, Part[R]]:
    """The key parts that any policy may count per.

    Whatever a request lacks is its address instead, so that strangers never share one count: `user` is the
    authenticated user or the address, and likewise `api_key` and `tenant`. `key`, which a limit without `per` counts
    by, is the first there is of user, API key and address. One letter before the value keeps the kinds apart: a user
    who is called 192.0.2.1 is not that address.
    """

    def by_address(request: R) -> str:
        return "a:" + address(request)

    def one_of(letter: str, name: Name[R]) -> Part[R]:
        def part(request: R) -> str:
            value = name(request)
            return letter + value if value is not None else "a:" + address(request)

        return part

    def first_of(*kinds: tuple[str, Name[R] | None]) -> Part[R]:
        found = [(letter, name) for letter, name in kinds if name is not None]
        if len(found) == 1:
            return one_of(*found[0])

        def part(request: R) -> str:
            for letter, name in found:
                value = name(request)
                if value is not None:
                    return letter + value
            return by_address(request)

        return part

    return {
        DEFAULT_PART: first_of(("u:", user), ("k:", api_key)),
        "user": first_of(("u:", user)),
        "api_key": first_of(("k:", api_key)),
        "tenant": first_of(("t:", tenant)),
        "address": by_address,
    }


class Route(Generic[R]):
    """A rule under the policies in force: what to ask for its requests.

    Attributes:
        policy: the policy.
        cost: units; None is the policy's own.
        key: from a request to the limiter's key.
        is_shadow: its responses say nothing of limits that do not bind.
        may_hold_slots: some tenant's limits, or everybody's, count what is in flight.
    """

    __slots__ = ("_slots", "_tenant_slots", "cost", "is_shadow", "key", "may_hold_slots", "policy")

    def __init__(self, policy: Policy, policies: PolicySet, cost: int | None, parts: Mapping[str, Part[R]]) -> None:
        self.policy = policy
        self.cost = cost
        self.is_shadow = policy.is_shadow or policies.is_shadow
        self._slots = _has_slots(policy.limits)
        self._tenant_slots = {tenant: _has_slots(limits) for tenant, limits in policy.tenants.items()}
        self.may_hold_slots = self._slots or any(self._tenant_slots.values())
        self.key = _key(policy, parts)

    def holds_slot(self, tenant: str | None) -> bool:
        """Whether a tenant's requests hold a slot while they run."""
        return self._slots if tenant is None else self._tenant_slots.get(tenant, self._slots)


def _has_slots(limits: Iterable[Limit]) -> bool:
    return any(limit.algorithm is Algorithm.IN_FLIGHT for limit in limits)


def _key(policy: Policy, parts: Mapping[str, Part[R]]) -> Callable[[R], Key]:
    groups = (policy.limits, *policy.tenants.values())
    wanted = dict.fromkeys(part for limits in groups for limit in limits for part in limit.per)
    unknown = [part for part in wanted if part not in parts]
    if unknown:
        raise UsageError(
            f"policy {policy.name!r} counts per {', '.join(unknown)}, which the middleware can't tell; it knows "
            f"{', '.join(parts)}: give the others by `parts`"
        )
    getters = [(part, parts[part]) for part in wanted]
    if len(getters) == 1 and all(limit.per for limits in groups for limit in limits):
        return getters[0][1]
    return lambda request: {part: get(request) for part, get in getters}


# A rule made ready: whether a path fits, the methods, the route.
_Ruled = tuple[Callable[[str], object], frozenset[str], Route[R] | None]


class Gate(Generic[R]):
    """Finds the route of a request, by rules that follow the policies as they are reloaded.

    Args:
        policies: those in force at set-up.
        rules: the first that fits counts.
        default: the policy of requests that no rule fits; None leaves them alone.
        exempt: paths, as in a rule, that no policy covers; they come before the rules.
        parts: from a request to each key part that policies may count per.

    Raises:
        UsageError: a rule names no policy of the set, or a policy counts per a part that is not given.
    """

    def __init__(
        self,
        policies: PolicySet,
        *,
        rules: Sequence[Rule],
        default: str | None,
        exempt: Iterable[str],
        parts: Mapping[str, Part[R]],
    ) -> None:
        if isinstance(exempt, str):
            raise UsageError(f"exempt is a list of paths, not the text {exempt!r}")
        self._rules = (*(Rule(path, None) for path in exempt), *rules)
        self._default = Rule(ANY_ROUTE, default)
        self._parts = parts
        self._table = self._routes(policies, self._route)

    def _route(self, policies: PolicySet, rule: Rule) -> Route[R] | None:
        if rule.policy is None:
            return None
        policy = policies.get(rule.policy)
        if policy is None:
            raise UsageError(f"no policy {rule.policy!r} for {rule.path}; there are {', '.join(policies) or 'none'}")
        # Parts that are given win: a FastAPI dependency knows the route's own path.
        return Route(policy, policies, rule.cost, {ROUTE_PART: lambda _, path=rule.path: path, **self._parts})  # type: ignore[misc]

    def _route_or_log(self, policies: PolicySet, rule: Rule) -> Route[R] | None:
        # Reloaded policies that no longer fit the rules must not take the service down: these requests pass unlimited.
        try:
            return self._route(policies, rule)
        except UsageError as error:
            log.error("requests to %s are not limited: %s", rule.path, error)  # noqa: TRY400 - the message says it all
            return None

    def _routes(
        self, policies: PolicySet, make: Callable[[PolicySet, Rule], Route[R] | None]
    ) -> tuple[PolicySet, list[_Ruled[R]], Route[R] | None]:
        rules: list[_Ruled[R]] = [
            (rule.pattern.fullmatch, rule.all_methods, make(policies, rule)) for rule in self._rules
        ]
        return policies, rules, make(policies, self._default)

    def route(self, policies: PolicySet, method: str, path: str) -> Route[R] | None:
        """The route of a request; None if it is not limited.

        Args:
            policies: those in force.
            method: upper case.
            path: decoded, with the prefix that the application is mounted under.
        """
        known, rules, default = self._table
        if known is not policies:
            self._table = _, rules, default = self._routes(policies, self._route_or_log)
        for matches, methods, route in rules:
            if matches(path) and (not methods or method in methods):
                return route
        return default
