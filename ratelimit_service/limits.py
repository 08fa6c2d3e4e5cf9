"""One limit: how many units in how long, counted by which algorithm, over which key. A value; it decides nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from ratelimit_service.errors import PolicyError

DEFAULT_PART = "key"
WINDOW_MAX = 99_999_999
"""The most that a windowed limit counts to: its state holds eight digits (lua/window.lua)."""
LOG_MAX = 100_000
"""The most that a sliding log holds: it keeps about 100 bytes for every unit."""
AMOUNT_MAX = 2**50
"""Microseconds and units pass through Lua's doubles; below this, sums with the present time stay exact."""


class Algorithm(IntEnum):
    """How a limit counts. The numbers are those of lua/main.lua."""

    GCRA = 1
    SLIDING = 2
    FIXED = 3
    LOG = 4
    IN_FLIGHT = 5


_UNITS_US = {
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_UNIT = r"(?P<unit>ms|milliseconds?|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)"
# No longer than any number that a limit can have, so that none is too long to be read.
_COUNT = r"\d(?:_?\d){0,17}"
_DURATION = rf"(?P<times>\d{{1,12}}(?:\.\d{{1,12}})?)?\s*{_UNIT}"
_PART = r"[A-Za-z][A-Za-z0-9_]*"
_PER = rf"(?:\s+per\s+(?P<per>{_PART}(?:\s*\+\s*{_PART})*))?"
_RATE = re.compile(
    rf"\s*(?P<quantity>{_COUNT})\s*/\s*{_DURATION}(?:\s+burst\s+(?P<burst>{_COUNT}))?"
    rf"(?:\s+(?P<algorithm>gcra|sliding|fixed|log))?{_PER}\s*",
    re.ASCII,
)
_IN_FLIGHT = re.compile(rf"\s*(?P<quantity>{_COUNT})\s+in\s+flight(?:\s+lease\s+{_DURATION})?{_PER}\s*", re.ASCII)
_DEFAULT_LEASE_US = 30_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """So many units per period, for each value of a key.

    Attributes:
        quantity: units per period; for IN_FLIGHT the number of slots.
        period_us: the period in microseconds; for IN_FLIGHT the lease after which a dead holder's slot returns.
        algorithm: how it counts; `docs/ratelimit.md` says how to choose.
        burst: GCRA only: units that may come at once after a rest; None means `quantity`.
        per: the names of the key parts that it counts over; empty is one count for everybody.
    """

    quantity: int
    period_us: int
    algorithm: Algorithm = Algorithm.GCRA
    burst: int | None = None
    per: tuple[str, ...] = (DEFAULT_PART,)

    def __post_init__(self) -> None:
        """Refuse what can't be counted exactly.

        Raises:
            PolicyError: with the value and its bound.
        """
        if self.quantity < 1 or self.period_us < 1:
            raise PolicyError(f"a limit needs a quantity and a period of at least 1, not {self.text}")
        if self.burst is not None and (self.algorithm is not Algorithm.GCRA or self.burst < 1):
            raise PolicyError(f"a burst is a number of at least 1, for gcra only, not {self.text}")
        most = {Algorithm.SLIDING: WINDOW_MAX, Algorithm.FIXED: WINDOW_MAX, Algorithm.LOG: LOG_MAX}
        if self.quantity > most.get(self.algorithm, AMOUNT_MAX):
            raise PolicyError(f"{self.text}: {self.algorithm.name.lower()} counts to {most[self.algorithm]} at most")
        if max(self.period_us * 2, self.full_us) > AMOUNT_MAX:
            raise PolicyError(f"{self.text} takes longer than 17 years to fill: a period this long can't be counted")
        if len(set(self.per)) != len(self.per):
            raise PolicyError(f"{self.text} names a key part twice")

    @property
    def capacity(self) -> int:
        """The most units that one request can be granted."""
        return self.quantity if self.burst is None else self.burst

    @property
    def interval_us(self) -> int:
        """What the script calls the period: for GCRA the microseconds from one unit to the next, rounded up."""
        return -(-self.period_us // self.quantity) if self.algorithm is Algorithm.GCRA else self.period_us

    @property
    def full_us(self) -> int:
        """Microseconds from exhausted to as good as unused, at most."""
        return self.interval_us * (self.capacity if self.algorithm is Algorithm.GCRA else 2)

    @property
    def period_s(self) -> float:
        """The period in seconds."""
        return self.period_us / 1e6

    @property
    def text(self) -> str:
        """The limit in the notation that `parse` reads."""
        over = f" per {'+'.join(self.per) or 'all'}"
        if self.algorithm is Algorithm.IN_FLIGHT:
            return f"{self.quantity} in flight lease {_duration(self.period_us)}{over}"
        burst = "" if self.burst is None else f" burst {self.burst}"
        return f"{self.quantity}/{_duration(self.period_us)}{burst} {self.algorithm.name.lower()}{over}"

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read a limit such as `100/minute`, `10/second burst 20 per user+route` or `5 in flight lease 30s`.

        Raises:
            PolicyError: with the text and an example.
        """
        if match := _RATE.fullmatch(text):
            algorithm = Algorithm[(match["algorithm"] or "gcra").upper()]
            burst = int(match["burst"]) if match["burst"] else None
            return cls(int(match["quantity"]), _microseconds(match), algorithm, burst, _per(match["per"]))
        if match := _IN_FLIGHT.fullmatch(text):
            lease_us = _microseconds(match) if match["unit"] else _DEFAULT_LEASE_US
            return cls(int(match["quantity"]), lease_us, Algorithm.IN_FLIGHT, None, _per(match["per"]))
        raise PolicyError(
            f"can't read the limit {text!r}; write it like '100/minute', '10/second burst 20', "
            "'1000/hour sliding per user' or '5 in flight lease 30s per tenant'"
        )


def _per(text: str | None) -> tuple[str, ...]:
    if text is None:
        return (DEFAULT_PART,)
    parts = tuple(part.strip() for part in text.split("+"))
    return () if parts == ("all",) else parts


def _microseconds(match: re.Match[str]) -> int:
    unit: str = match["unit"]
    per_unit_us = _UNITS_US["ms" if unit.startswith(("ms", "milli")) else unit[0]]
    return round(float(match["times"] or 1) * per_unit_us)


def _duration(microseconds: int) -> str:
    for unit in ("w", "d", "h", "m", "s", "ms"):
        if microseconds % _UNITS_US[unit] == 0:
            return f"{microseconds // _UNITS_US[unit]}{unit}"
    return f"{microseconds / 1000}ms"
