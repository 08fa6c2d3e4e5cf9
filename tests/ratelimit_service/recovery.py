"""How soon a limiter recovers, counted in probes: its breaker's clock is the test's, so a busy machine changes nothing.

Recovery is counted from the moment that a check could be decided again: the server answers, the new master of a cluster
serves, Sentinel names the promoted one. From there to the next probe is at most `breaker_open_s`, and a probe that
fails costs at most a deadline and leads to the next. So with the default options, `PROBES` of them fit in a second.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ratelimit_service import Options

RECOVERY_S = 1.0
PROBES = int(RECOVERY_S / (Options().breaker_open_s + Options().deadline_s))


@dataclass
class Clock:
    """Monotonic seconds that stand still until a test moves them."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def probes(self, options: Options) -> Iterator[int]:
        """Lets the next probe through, again and again; fails when a second would be over."""
        for number in range(1, PROBES + 1):
            self.now_s += options.breaker_open_s
            yield number
        raise AssertionError(f"no recovery with {PROBES} probes, hence not within {RECOVERY_S} s")
