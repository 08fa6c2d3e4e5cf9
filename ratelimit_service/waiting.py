"""How long to pause between tries: exactly as long as the last answer said, and never past the timeout."""

from __future__ import annotations

import math
from collections.abc import Callable

from ratelimit_service.decision import Decision

_FIRST_POLL_S = 0.01
_POLL_MAX_S = 0.25


class Waiter:
    """The pauses of one blocking call.

    Args:
        timeout_s: how long the caller is willing to wait in all; None is for ever.
        clock: monotonic seconds.
        is_polling: slots come back at any time, so ask now and then instead of waiting for the last moment.
    """

    def __init__(self, timeout_s: float | None, clock: Callable[[], float], *, is_polling: bool = False) -> None:
        self._clock = clock
        self._until_s = math.inf if timeout_s is None else clock() + timeout_s
        self._poll_s = _FIRST_POLL_S if is_polling else math.inf

    def pause_s(self, decision: Decision) -> float | None:
        """Seconds to sleep before the next try; None: stop, with this decision."""
        wait_s = decision.retry_after_s
        if decision.allowed or wait_s is None:
            return None
        pause_s = min(wait_s, self._poll_s)
        self._poll_s = min(self._poll_s * 2, _POLL_MAX_S) if self._poll_s < math.inf else math.inf
        return pause_s if self._clock() + pause_s <= self._until_s else None
