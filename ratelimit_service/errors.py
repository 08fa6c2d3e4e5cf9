"""The limiter's error tree. The package is a library of its own, so the root is too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ratelimit_service.decision import Decision


class RateLimitError(Exception):
    """Base class of all errors that the limiter raises."""


class PolicyError(RateLimitError, ValueError):
    """A limit, policy or policy set is invalid; the message names the part and the reason."""


class PolicyFileError(PolicyError):
    """A policy document is invalid; none of it is used.

    Attributes:
        source: a path, or a Redis key.
        line: line of the error, counted from 1; None if the format has no lines.
    """

    def __init__(self, source: str, line: int | None, reason: str) -> None:
        self.source = source
        self.line = line
        super().__init__(f"{source}{'' if line is None else f', line {line}'}: {reason}")


class UsageError(RateLimitError, ValueError):
    """Invalid arguments: an unknown policy, a missing key part, a negative cost."""


class RedisUnavailableError(RateLimitError):
    """Redis did not run the script; the cause is redis-py's error."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"Redis did not run the limiter's script: {type(error).__name__}: {error}")


class RateLimitedError(RateLimitError):
    """A decorator or context manager was refused.

    Attributes:
        decision: the refusal, with `retry_after_s`.
    """

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        wait_s = decision.retry_after_s
        advice = "the cost exceeds the limit" if wait_s is None else f"retry in {wait_s:.3f} s"
        super().__init__(f"over the limit of policy {decision.policy!r}; {advice}")
