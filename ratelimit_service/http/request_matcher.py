"""Match requests to policies and keys: by path, method, and who the client is. Deciding is left to the limiter.

A request is what the server interface passes: an ASGI scope (`asgi.py`, `fastapi.py`) or a WSGI environ (`wsgi.py`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypedDict, TypeVar

from ratelimit_service.errors import UsageError
from ratelimit_service.http.addresses import ClientAddress
from ratelimit_service.http.routes import ApplicationRoutes, RouteCheck, find_routes, normal_path
from ratelimit_service.keys import Key, KeyPart
from ratelimit_service.limits import DEFAULT_PART, key_parts
from ratelimit_service.policy import Policy, PolicySet

_logger = logging.getLogger(__name__)
R = TypeVar("R")
ReadPart = Callable[[R], KeyPart]
ReadName = Callable[[R], str | None]
ANY_ROUTE = "/**"
ROUTE_PART = "route"
_PLACEHOLDER = re.compile(r"(\{[^{}/]*\})")


@dataclass(frozen=True, slots=True)
class Rule:
    """The policy of some requests.

    Attributes:
        path: the decoded path as the application's routes are written, without a mount's prefix or `root_path`: exact
            (`/login`), with `{…}` for one segment (`/items/{id}`), or a path and everything below it (`/reports/**`).
            It is also the value of the key part `route`.
        policy: the policy's name; None exempts.
        methods: upper case; empty is all. A rule for GET takes HEAD too, which frameworks answer by the same code.
        cost: units of one request; None is the policy's own.

    Raises:
        UsageError: the path or a method is invalid.
    """

    path: str
    policy: str | None
    methods: tuple[str, ...] = ()
    cost: int | None = None

    def __post_init__(self) -> None:
        """Refuse paths that would never match what their author intended."""
        if not self.path.startswith("/") or "*" in self.path.removesuffix(ANY_ROUTE):
            raise UsageError(
                f"invalid path {self.path!r}: a rule's path begins with '/', has '{{name}}' for a segment, and '/**' "
                "only at its end"
            )
        if isinstance(self.methods, str) or any(method != method.upper() for method in self.methods):
            raise UsageError(f"methods must be a tuple of upper-case names, not {self.methods!r}")

    @property
    def pattern(self) -> re.Pattern[str]:
        """The pattern that a path must match in full to be spelled as the rule is."""
        return _path_pattern(self.path)

    @property
    def normal_pattern(self) -> re.Pattern[str]:
        """The pattern that the normal form of each spelling matches in full."""
        return _path_pattern(normal_path(self.path))

    def __str__(self) -> str:
        """Return the path, and the methods if only some are meant."""
        return f"{self.path} ({', '.join(self.methods)})" if self.methods else self.path

    @property
    def all_methods(self) -> frozenset[str]:
        """The methods with HEAD beside GET; empty is all."""
        return frozenset(self.methods) | (frozenset({"HEAD"}) if "GET" in self.methods else frozenset())


def _path_pattern(path: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(path.removesuffix(ANY_ROUTE))
    text = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts)
    return re.compile(text + ("(?:/.*)?" if path.endswith(ANY_ROUTE) else ""), re.DOTALL)


class IdentityOptions(TypedDict, Generic[R], total=False):
    """Options that say who a request counts for; the middlewares and the FastAPI dependency share them.

    Attributes:
        trusted: the proxies in front, for `ClientAddress` with its defaults.
        address: instead of `trusted`: a `ClientAddress` of your own.
        user: returns a request's authenticated user; it must not be a name that the client merely claims.
        api_key: returns an id of the *verified* API key; None for no key or an invalid one.
        tenant: returns the tenant, for tenants' own limits and the key part `tenant`.
        parts: further key parts, each with a function that returns a request's value.
    """

    trusted: Iterable[str]
    address: ClientAddress | None
    user: ReadName[R]
    api_key: ReadName[R] | None
    tenant: ReadName[R] | None
    parts: Mapping[str, ReadPart[R]] | None


def identity_parts(
    options: IdentityOptions[R],
    *,
    address_reader: Callable[[ClientAddress], Callable[[R], str]],
    default_user: ReadName[R],
) -> dict[str, ReadPart[R]]:
    """Return functions that read each key part of a request.

    A part that a request lacks falls back to its address, so that strangers never share one count: `user` is the
    authenticated user or the address, and likewise `api_key` and `tenant`. `key`, which a limit without `per` counts by,
    is the first there is of user, API key and address. One letter before the value keeps the kinds apart: a user who is
    called 192.0.2.1 is not that address.

    Raises:
        TypeError: an unknown option.
    """
    if unknown := options.keys() - IdentityOptions.__annotations__.keys():
        raise TypeError(f"unexpected keyword argument {', '.join(sorted(unknown))!r}")
    read_address = address_reader(options.get("address") or ClientAddress(options.get("trusted", ())))

    def first_of(*kinds: tuple[str, ReadName[R] | None]) -> ReadPart[R]:
        readers = [(letter, read) for letter, read in kinds if read is not None]

        def part(request: R) -> str:
            for letter, read in readers:
                value = read(request)
                if value is not None:
                    return letter + value
            return "a:" + read_address(request)

        return part

    user = ("u:", options.get("user", default_user))
    api_key = ("k:", options.get("api_key"))
    return {
        DEFAULT_PART: first_of(user, api_key),
        "user": first_of(user),
        "api_key": first_of(api_key),
        "tenant": first_of(("t:", options.get("tenant"))),
        "address": first_of(),
        **(options.get("parts") or {}),
    }


class CompiledRule(Generic[R]):
    """A rule under the policies in force.

    Attributes:
        policy: the policy.
        cost: units; None is the policy's own.
        read_key: returns a request's key.
        is_shadow: whether responses must not mention its limits.
        may_hold_slots: whether its limits, for any tenant, count slots in flight.
    """

    __slots__ = ("_holds_slot", "_tenants", "cost", "is_shadow", "may_hold_slots", "policy", "read_key")

    def __init__(self, policy: Policy, policies: PolicySet, cost: int | None, parts: Mapping[str, ReadPart[R]]) -> None:
        self.policy = policy
        self.cost = cost
        self.is_shadow = policy.is_shadow or policies.is_shadow
        tenants = (None, *policy.tenants)
        self._holds_slot = {
            tenant: any(limit.is_in_flight for limit in policy.limits_for(tenant)) for tenant in tenants
        }
        self.may_hold_slots = any(self._holds_slot.values())
        self.read_key = _key_reader(policy, parts)

    def holds_slot(self, tenant: str | None) -> bool:
        """Whether a tenant's requests hold a slot while they run."""
        return self.may_hold_slots and self._holds_slot.get(tenant, self._holds_slot[None])


def _key_reader(policy: Policy, parts: Mapping[str, ReadPart[R]]) -> Callable[[R], Key]:
    limits = [limit for tenant in (None, *policy.tenants) for limit in policy.limits_for(tenant)]
    names = key_parts(limits)
    unknown = [name for name in names if name not in parts]
    if unknown:
        raise UsageError(
            f"policy {policy.name!r} counts per {', '.join(unknown)}, which is unknown; known are {', '.join(parts)}: "
            "pass the others as `parts`"
        )
    if len(names) == 1 and all(limit.per for limit in limits):
        return parts[names[0]]
    return lambda request: {name: parts[name](request) for name in names}


# A rule's matchers of a path's normal form and of the path itself, the slash that ends the rule's path, its methods, and
# the rule compiled.
_PathMatcher = Callable[[str], object]
_TableRow = tuple[_PathMatcher, _PathMatcher, str, frozenset[str], CompiledRule[R] | None]


class RequestMatcher(Generic[R]):
    """Find the rule of a request; rules follow the policies as they are reloaded.

    Args:
        policies: those in force at set-up.
        rules: the first that matches counts.
        default: the policy of requests that match no rule; None leaves them unlimited.
        exempt: paths, as in a rule, that are never limited; they come before the rules.
        parts: functions that read each key part that policies may count per.

    Raises:
        UsageError: a rule names an unknown policy, or a policy counts per an unknown part.
    """

    def __init__(
        self,
        policies: PolicySet,
        *,
        rules: Sequence[Rule],
        default: str | None,
        exempt: Iterable[str],
        parts: Mapping[str, ReadPart[R]],
    ) -> None:
        if isinstance(exempt, str):
            raise UsageError(f"exempt must be a list of paths, not the string {exempt!r}")
        self._routes: ApplicationRoutes | None = None
        self._rules = (*(Rule(path, None) for path in exempt), *rules)
        self._default = Rule(ANY_ROUTE, default)
        self._parts = parts
        self._table = self._compile_all(policies, self._compile)

    def _compile(self, policies: PolicySet, rule: Rule) -> CompiledRule[R] | None:
        if rule.policy is None:
            return None
        policy = policies.get(rule.policy)
        if policy is None:
            raise UsageError(f"no policy {rule.policy!r} for {rule.path}; there are {', '.join(policies) or 'none'}")
        # The parts passed in win: a FastAPI dependency knows the route's own path.
        return CompiledRule(policy, policies, rule.cost, {ROUTE_PART: lambda _: rule.path, **self._parts})

    def _compile_or_log(self, policies: PolicySet, rule: Rule) -> CompiledRule[R] | None:
        # Reloaded policies that no longer fit the rules must not stop the service: these requests pass unlimited.
        try:
            return self._compile(policies, rule)
        except UsageError as error:
            _logger.error("requests to %s are not limited: %s", rule.path, error)  # noqa: TRY400 - the message has all
            return None

    def _compile_all(
        self, policies: PolicySet, compile_one: Callable[[PolicySet, Rule], CompiledRule[R] | None]
    ) -> tuple[PolicySet, list[_TableRow[R]], CompiledRule[R] | None]:
        rows: list[_TableRow[R]] = [
            (
                rule.normal_pattern.fullmatch,
                rule.pattern.fullmatch,
                "/" if rule.path.endswith("/") else "",
                rule.all_methods,
                compile_one(policies, rule),
            )
            for rule in self._rules
        ]
        return policies, rows, compile_one(policies, self._default)

    def check_routes(self, app: object, check: RouteCheck) -> str:
        """Compare the rules with an application's routes, and match by its router from now on; return its `root_path`.

        An exempt path without a route does no harm and is no error.

        Args:
            app: the application, an ASGI or WSGI callable.
            check: what is an error. An application of an unknown framework passes unless each route needs a rule.

        Raises:
            UsageError: rules match no route, or routes have no rule; all are named.
        """
        self._routes = routes = find_routes(app)
        if check == "off" or (routes is None and check == "rules"):
            return routes.root_path if routes else ""
        if routes is None:
            raise UsageError(
                "route_check='all' needs the routes of Starlette, FastAPI, Flask or Django; there are none"
            )
        all_routes = list(routes.read())
        absent = [
            str(rule)
            for rule in self._rules
            if rule.policy is not None and not any(route.overlaps(rule.path, rule.all_methods) for route in all_routes)
        ]
        if absent:
            raise UsageError(
                f"rules match no route of the application: {', '.join(absent)}. Write their paths as its routes are, "
                "without a mount's prefix or root_path; or pass route_check='off'"
            )
        unruled = [
            route.path
            for route in all_routes
            if not any(route.overlaps(rule.path, rule.all_methods) for rule in self._rules)
        ]
        if check == "all" and unruled:
            raise UsageError(f"routes are in no rule: {', '.join(unruled)}. Add rules or exempt their paths")
        return routes.root_path

    def match(self, policies: PolicySet, method: str, path: str) -> CompiledRule[R] | None:
        """Return the rule of a request; None if it is not limited.

        Args:
            policies: those in force.
            method: in any case; some frameworks take `post` for POST.
            path: decoded, as the application's router gets it.
        """
        compiled_for, rows, default = self._table
        if compiled_for is not policies:
            self._table = _, rows, default = self._compile_all(policies, self._compile_or_log)
        method = method.upper()
        normal = normal_path(path)
        for matches_normal, matches, slash, methods, rule in rows:
            if (
                matches_normal(normal)
                and (not methods or method in methods)
                # An exemption is for its own spelling only, since another one may lead to another view.
                and (matches(path) or (rule is not None and self._is_one_view(method, path, normal + slash)))
            ):
                return rule
        return default

    def _is_one_view(self, method: str, path: str, rule_path: str) -> bool:
        # Also true if the router serves one of the paths only, or is unknown: the rule's limit is then the best guess.
        if self._routes is None or (view := self._routes.view(method, path)) is None:
            return True
        return (self._routes.view(method, rule_path) or view) == view
