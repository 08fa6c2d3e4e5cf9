"""One of the questions that `check_many` puts together."""

from __future__ import annotations

from typing import NamedTuple

from ratelimit_service.keys import Key


class CheckRequest(NamedTuple):
    """The arguments of one check.

    Attributes:
        policy: the policy's name.
        key: one value, or a mapping of the policy's key parts.
        cost: units; None is the policy's own cost.
        tenant: whose limits to use, where the policy has some for it.
    """

    policy: str
    key: Key | None = None
    cost: int | None = None
    tenant: str | None = None
