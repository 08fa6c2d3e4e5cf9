"""The figures of a benchmark: printed as a table and kept as `benchmarks/out/<name>.json`, the same form for all."""

import json
import math
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil
from rich.console import Console
from rich.table import Table

OUT = Path(__file__).parent / "out"
_PACKAGES = ("dagster", "psycopg", "redis", "sqlalchemy", "salespulse")


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        name: what was measured, at which size.
        value: the median where there were several rounds.
        unit: of the value and of the bound.
        bound: what it is held to; None where it is only reported.
        better: whether the value has to stay below the bound (`lower`) or reach it (`higher`).
        rounds: how many times it was measured.
        low: the smallest round.
        high: the largest round.
        load: the machine's one-minute load average as it ended: above its cores, other work took part.
        note: what else a reader must know.
    """

    name: str
    value: float
    unit: str
    bound: float | None = None
    better: Literal["lower", "higher"] = "lower"
    rounds: int = 1
    low: float | None = None
    high: float | None = None
    load: float = field(default_factory=lambda: round(os.getloadavg()[0], 1))
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the value keeps its bound; None without one."""
        if self.bound is None:
            return None
        return self.value <= self.bound if self.better == "lower" else self.value >= self.bound


def figure(
    name: str,
    rounds: Sequence[float],
    unit: str,
    *,
    bound: float | None = None,
    better: Literal["lower", "higher"] = "lower",
    note: str = "",
) -> Figure:
    """The median of some rounds, with their spread."""
    return Figure(
        name=name,
        value=statistics.median(rounds),
        unit=unit,
        bound=bound,
        better=better,
        rounds=len(rounds),
        low=min(rounds),
        high=max(rounds),
        note=note,
    )


@dataclass
class Report:
    """All figures of one benchmark.

    Attributes:
        name: of the benchmark and its file.
        settings: sizes, rounds, server settings: what a repetition needs to know.
        versions: beyond those of the Python packages.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def add(self, *figures: Figure) -> None:
        """Take in figures, and say each at once: a run is long."""
        for one in figures:
            self.figures.append(one)
            bound = "" if one.bound is None else f" (bound {_number(one.bound)}: {_verdict(one)})"
            print(
                f"  {one.name}: {_number(one.value)} {one.unit}{bound} [load {one.load}]", file=sys.stderr, flush=True
            )

    def as_document(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "benchmark": self.name,
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self.started_at).total_seconds(), 1),
            "machine": machine(),
            "versions": {**versions(), **self.versions},
            "settings": dict(self.settings),
            "figures": [{**asdict(one), "holds": one.holds} for one in self.figures],
        }

    def finish(self, path: Path | None = None) -> bool:
        """Print the table, write the JSON, and say whether every bound holds."""
        self.print_table()
        path = path or OUT / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_document(), indent=2, default=str) + "\n", encoding="utf-8")
        print(f"written: {path}")
        return all(one.holds is not False for one in self.figures)

    def print_table(self) -> None:
        table = Table(title=f"{self.name}, {self.started_at:%Y-%m-%d %H:%M} UTC", title_justify="left")
        for heading in ("figure", "value", "unit", "spread", "bound", "holds", "load"):
            table.add_column(heading, justify="left" if heading in {"figure", "unit", "holds"} else "right")
        for one in self.figures:
            spread = f"{_number(one.low)} … {_number(one.high)}" if one.rounds > 1 else ""
            sign = "≤" if one.better == "lower" else "≥"
            bound = "" if one.bound is None else f"{sign} {_number(one.bound)}"
            name = f"{one.name}\n  {one.note}" if one.note else one.name
            table.add_row(name, _number(one.value), one.unit, spread, bound, _verdict(one), f"{one.load:g}")
        Console(width=None if sys.stdout.isatty() else 160).print(table)


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it is now."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Python and the packages that matter here, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value and abs(value) < 1000:
        return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return f"{value:,.0f}"


def _verdict(one: Figure) -> str:
    return {True: "yes", False: "NO", None: ""}[one.holds]
