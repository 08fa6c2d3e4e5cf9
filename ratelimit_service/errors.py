"""The limiter's errors. It stands alone, so its tree has a root of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ratelimit_service.decision import Decision


class RateLimitError(Exception):
    """The root: whatever goes wrong in the limiter by its own account."""


class PolicyError(RateLimitError, ValueError):
    """A limit, policy or policy set that can't be meant; the message says which part and why."""


class PolicyFileError(PolicyError):
    """A policy document was refused whole.

    Attributes:
        source: where the document came from (a path, or a Redis key).
        line: the line at fault, counted from 1; None where the format gives none.
    """

    def __init__(self, source: str, line: int | None, reason: str) -> None:
        self.source = source
        self.line = line
        super().__init__(f"{source}{'' if line is None else f', line {line}'}: {reason}")


class UsageError(RateLimitError, ValueError):
    """A call that has no defined answer: an unknown policy, a missing key, a negative cost."""


class RateLimitedError(RateLimitError):
    """Raised by decorators and context managers when the decision was no.

    Attributes:
        decision: the whole answer, with `retry_after_s`.
    """

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        wait = decision.retry_after_s
        super().__init__(
            f"over the limit of policy {decision.policy!r}"
            + ("; no waiting helps" if wait is None else f"; retry in {wait:.3f} s")
        )
