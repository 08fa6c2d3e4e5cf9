"""One limit as a value: its quantity, period, algorithm and key parts, and the text notation for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from ratelimit_service.errors import PolicyError

DEFAULT_PART = "key"
WINDOW_MAX = 99_999_999
"""Largest quantity of a windowed limit: its state has eight digits (lua/window.lua)."""
LOG_MAX = 100_000
"""Largest quantity of a sliding log, which takes about 100 bytes a charge."""
AMOUNT_MAX = 2**50
"""Largest number of units or microseconds: below it, sums with the current time stay exact in Lua's doubles."""


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
# At most 18 digits: no valid limit has more, and int() refuses to parse very long ones.
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
    """A number of units per period, for each value of a key.

    Attributes:
        quantity: units per period; for IN_FLIGHT the number of slots.
        period_us: the period in microseconds; for IN_FLIGHT the lease after which a dead holder's slot returns.
        algorithm: how units are counted; `docs/ratelimit.md` says how to choose.
        burst: GCRA only: units allowed at once after a pause; None means `quantity`.
        per: names of the key parts to count over; empty is one count for all callers.
    """

    quantity: int
    period_us: int
    algorithm: Algorithm = Algorithm.GCRA
    burst: int | None = None
    per: tuple[str, ...] = (DEFAULT_PART,)

    def __post_init__(self) -> None:
        """Validate the values.

        Raises:
            PolicyError: a value can't be counted exactly; the message has the value and its bound.
        """
        if self.quantity < 1 or self.period_us < 1:
            raise PolicyError(f"{self.text}: quantity and period must be at least 1")
        if self.burst is not None and (self.algorithm is not Algorithm.GCRA or self.burst < 1):
            raise PolicyError(f"{self.text}: a burst must be at least 1, and only gcra has one")
        maximum = {Algorithm.SLIDING: WINDOW_MAX, Algorithm.FIXED: WINDOW_MAX, Algorithm.LOG: LOG_MAX}
        if self.quantity > maximum.get(self.algorithm, AMOUNT_MAX):
            raise PolicyError(
                f"{self.text}: the maximum for {self.algorithm.name.lower()} is {maximum[self.algorithm]}"
            )
        if max(self.period_us * 2, self.full_us) > AMOUNT_MAX:
            raise PolicyError(f"{self.text} takes longer than 17 years to refill; use a shorter period")
        if len(set(self.per)) != len(self.per):
            raise PolicyError(f"{self.text}: a key part is repeated")

    @property
    def is_in_flight(self) -> bool:
        """Whether it counts slots in flight, not a rate."""
        return self.algorithm is Algorithm.IN_FLIGHT

    @property
    def capacity(self) -> int:
        """Largest cost that one request can be granted, in units."""
        return self.quantity if self.burst is None else self.burst

    @property
    def interval_us(self) -> int:
        """The script's `period` argument: for GCRA the microseconds from one unit to the next, rounded up."""
        return -(-self.period_us // self.quantity) if self.algorithm is Algorithm.GCRA else self.period_us

    @property
    def full_us(self) -> int:
        """Longest time from exhausted to fully reset, in microseconds."""
        return self.interval_us * (self.capacity if self.algorithm is Algorithm.GCRA else 2)

    @property
    def period_s(self) -> float:
        """The period in seconds."""
        return self.period_us / 1e6

    @property
    def text(self) -> str:
        """The limit in the notation of `parse`."""
        per = f" per {'+'.join(self.per) or 'all'}"
        if self.is_in_flight:
            return f"{self.quantity} in flight lease {_duration(self.period_us)}{per}"
        burst = "" if self.burst is None else f" burst {self.burst}"
        return f"{self.quantity}/{_duration(self.period_us)}{burst} {self.algorithm.name.lower()}{per}"

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Parse a limit such as `100/minute`, `10/second burst 20 per user+route` or `5 in flight lease 30s`.

        Raises:
            PolicyError: the text is not a limit; the message has examples.
        """
        if match := _RATE.fullmatch(text):
            algorithm = Algorithm[(match["algorithm"] or "gcra").upper()]
            burst = int(match["burst"]) if match["burst"] else None
            return cls(int(match["quantity"]), _microseconds(match), algorithm, burst, _per(match["per"]))
        if match := _IN_FLIGHT.fullmatch(text):
            lease_us = _microseconds(match) if match["unit"] else _DEFAULT_LEASE_US
            return cls(int(match["quantity"]), lease_us, Algorithm.IN_FLIGHT, None, _per(match["per"]))
        raise PolicyError(
            f"can't parse the limit {text!r}; write it like '100/minute', '10/second burst 20', "
            "'1000/hour sliding per user' or '5 in flight lease 30s per tenant'"
        )


def key_parts(limits: Iterable[Limit]) -> tuple[str, ...]:
    """Return the names of all key parts that the limits count over, in order, each once."""
    return tuple(dict.fromkeys(part for limit in limits for part in limit.per))


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
