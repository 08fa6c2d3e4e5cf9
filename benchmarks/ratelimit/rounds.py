"""Interleaved measuring: in every round each contender works for a moment, so other load on the machine hits all alike."""

import gc
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.report import Figure, figure

Work = Callable[[int], object]
AsyncWork = Callable[[int], Awaitable[object]]
_CALIBRATION = 64


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: of all contenders; at least 3.
        moment_s: seconds of work of each contender in each round.
    """

    rounds: int
    moment_s: float


def interleave(contenders: Mapping[str, Work], effort: Effort, *, unit: int = 1) -> dict[str, list[float]]:
    """Microseconds per check of each contender, one value a round.

    Args:
        contenders: by name, what does at least n checks.
        effort: how long.
        unit: n is a multiple of this.
    """
    _settle()
    counts = {}
    for name, work in contenders.items():
        work(_CALIBRATION)
        began_s = time.perf_counter()
        work(_CALIBRATION)
        counts[name] = _count((time.perf_counter() - began_s) / _CALIBRATION, effort, unit)
    times_us: dict[str, list[float]] = {name: [] for name in contenders}
    for name in _order(list(contenders), effort.rounds):
        began_s = time.perf_counter()
        contenders[name](counts[name])
        times_us[name].append((time.perf_counter() - began_s) / counts[name] * 1e6)
    return times_us


async def interleave_async(
    contenders: Mapping[str, AsyncWork], effort: Effort, *, unit: int, units: Mapping[str, int] | None = None
) -> dict[str, list[float]]:
    """`interleave` for contenders that await, all in the running loop; `units` are those that differ from `unit`."""
    _settle()
    counts = {}
    for name, work in contenders.items():
        own = (units or {}).get(name, unit)
        await work(own)
        began_s = time.perf_counter()
        await work(own)
        counts[name] = _count((time.perf_counter() - began_s) / own, effort, own)
    times_us: dict[str, list[float]] = {name: [] for name in contenders}
    for name in _order(list(contenders), effort.rounds):
        began_s = time.perf_counter()
        await contenders[name](counts[name])
        times_us[name].append((time.perf_counter() - began_s) / counts[name] * 1e6)
    return times_us


def _settle() -> None:
    # What the libraries' imports left would be walked through by whoever happens to set the collector off.
    gc.collect()
    gc.freeze()


def _count(each_s: float, effort: Effort, unit: int) -> int:
    count = int(effort.moment_s / each_s)
    return max(unit, count - count % unit)


def _order(names: Sequence[str], rounds: int) -> list[str]:
    # Each round begins with another one, and every second goes backwards, so nobody always follows the same neighbour.
    out: list[str] = []
    for number in range(rounds):
        shift = number % len(names)
        turned = [*names[shift:], *names[:shift]]
        out += turned if number % 2 == 0 else turned[::-1]
    return out


def ratios(times_us: Mapping[str, Sequence[float]], of: str, to: str) -> list[float]:
    """How many times as fast `of` was as `to`, round by round."""
    return [floor / own for own, floor in zip(times_us[of], times_us[to], strict=True)]


def times(times_us: Mapping[str, Sequence[float]], scene: str) -> list[Figure]:
    """The absolute figure of each contender."""
    return [figure(f"{scene}: {name}", values, "µs/check") for name, values in times_us.items()]


def faster(
    times_us: Mapping[str, Sequence[float]], scene: str, of: str, to: str, *, bound: float | None, note: str = ""
) -> Figure:
    """The figure that says how many times as fast one contender is as another."""
    return figure(f"{scene}: {of} / {to}", ratios(times_us, of, to), "x", bound=bound, better="higher", note=note)
