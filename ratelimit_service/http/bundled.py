"""The policies that come with the package: 100 requests a minute per user or address."""

from __future__ import annotations

from importlib.resources import files

from ratelimit_service.policy import PolicySet
from ratelimit_service.policy_file import parse_policies


def bundled_policies() -> PolicySet:
    """The policies of `ratelimit_service/policies/default.toml`."""
    path = files("ratelimit_service") / "policies" / "default.toml"
    return parse_policies(path.read_text(encoding="utf-8"), source="the bundled default.toml", is_toml=True)
