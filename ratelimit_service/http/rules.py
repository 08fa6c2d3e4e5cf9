"""Which policy a request falls under: by path and method, the first rule that fits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ratelimit_service.errors import UsageError

_PLACEHOLDER = re.compile(r"(\{[^{}/]*\})")
_REST = "/**"


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests of one kind, and their policy.

    Attributes:
        path: the whole decoded path: exactly (`/login`), with `{…}` for one segment (`/items/{id}`), or all below and
            including a path (`/reports/**`). It is also the value of the key part `route`.
        policy: the policy's name; None exempts.
        methods: upper case; empty is all. A rule for GET takes HEAD too, which frameworks answer by the same code.
        cost: units of one request; None is the policy's own.

    Raises:
        UsageError: the path can't be meant.
    """

    path: str
    policy: str | None
    methods: tuple[str, ...] = ()
    cost: int | None = None

    def __post_init__(self) -> None:
        """Refuse paths that would never match what their author thinks."""
        middle = self.path.removesuffix(_REST)
        if not self.path.startswith("/") or "*" in middle:
            raise UsageError(
                f"a rule's path begins with '/', has '{{name}}' for a segment and '/**' only at its end, not {self.path!r}"
            )
        if isinstance(self.methods, str) or any(method != method.upper() for method in self.methods):
            raise UsageError(f"methods are a tuple of upper-case names, not {self.methods!r}")

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the path must match in full."""
        middle = self.path.removesuffix(_REST)
        parts = ("[^/]+" if part.startswith("{") else re.escape(part) for part in _PLACEHOLDER.split(middle))
        return re.compile("".join(parts) + ("(?:/.*)?" if self.path.endswith(_REST) else ""), re.DOTALL)

    @property
    def all_methods(self) -> frozenset[str]:
        """The methods with HEAD beside GET; empty is all."""
        return frozenset(self.methods) | (frozenset({"HEAD"}) if "GET" in self.methods else frozenset())
