"""When a failed delivery is tried again."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

_MINUTE_S, _HOUR_S = 60.0, 3600.0


@dataclass(frozen=True)
class RetryPlan:
    """Waits that grow over hours, each varied, so that receivers that were down are not met by all at once.

    Attributes:
        delays_s: the wait after each failed attempt but the last: one fewer than there are attempts.
        jitter: the share by which a wait varies, either way.
        most_retry_after_s: a receiver's `Retry-After` is followed up to this; it never shortens a wait.
    """

    delays_s: tuple[float, ...] = (
        5,
        30,
        2 * _MINUTE_S,
        10 * _MINUTE_S,
        30 * _MINUTE_S,
        _HOUR_S,
        2 * _HOUR_S,
        3 * _HOUR_S,
        6 * _HOUR_S,
    )
    jitter: float = 0.2
    most_retry_after_s: float = 6 * _HOUR_S

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            ValueError: a negative or shrinking wait, or a jitter outside 0 to 1.
        """
        if any(delay < 0 for delay in self.delays_s) or any(
            later < sooner for sooner, later in pairwise(self.delays_s)
        ):
            raise ValueError(f"waits must be 0 or more and never shrink: {self.delays_s}")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"the jitter is a share from 0 to below 1, not {self.jitter}")

    @property
    def attempts(self) -> int:
        """How often a delivery is tried in all."""
        return len(self.delays_s) + 1

    def delay_s(
        self, attempt: int, *, retry_after_s: float | None = None, draw: Callable[[], float] = random.random
    ) -> float | None:
        """Give the wait after a failed attempt, in seconds; None: that was the last one.

        Args:
            attempt: the one that failed, from 1.
            retry_after_s: what the receiver asked for.
            draw: gives a number from 0 to below 1.
        """
        if attempt > len(self.delays_s):
            return None
        varied = self.delays_s[attempt - 1] * (1 + self.jitter * (2 * draw() - 1))
        return max(varied, min(retry_after_s or 0.0, self.most_retry_after_s))
