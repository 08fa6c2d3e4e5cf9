"""Print a benchmark's figures as a table and write them as JSON, in one form for all benchmarks.

The JSON goes to `benchmarks/out/`, which git ignores, and with `PUBLISH=1` also to `docs/benchmarks/`, of which
`benchmarks.table` makes the page. It names no host and no path.
"""

import json
import math
import os
import platform
import statistics
import subprocess
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
PUBLISHED = Path(__file__).parents[1] / "docs" / "benchmarks"
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
    """Return the median of some rounds, with their spread."""
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
        """Add figures, and print each immediately: a run is long."""
        for one in figures:
            self.figures.append(one)
            bound = "" if one.bound is None else f" (bound {format_number(one.bound)}: {_verdict(one)})"
            text = f"  {one.name}: {format_number(one.value)} {one.unit}{bound} [load {one.load}]"
            print(text, file=sys.stderr, flush=True)

    def as_document(self) -> dict[str, Any]:
        """Return everything as values that JSON has."""
        return {
            "benchmark": self.name,
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self.started_at).total_seconds(), 1),
            "commit": commit(),
            "machine": machine(),
            "versions": {**versions(), **self.versions},
            "settings": dict(self.settings),
            "figures": [{**asdict(one), "holds": one.holds} for one in self.figures],
        }

    def finish(self, path: Path | None = None, *, is_published: bool = False) -> bool:
        """Print the table, write the JSON, and return whether every bound holds."""
        self.print_table()
        text = format_document(self.as_document())
        paths = [path or OUT / f"{self.name}.json", *([PUBLISHED / f"{self.name}.json"] if is_published else [])]
        for target in paths:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            print(f"written: {target}")
        return all(one.holds is not False for one in self.figures)

    def print_table(self) -> None:
        table = Table(title=f"{self.name}, {self.started_at:%Y-%m-%d %H:%M} UTC", title_justify="left")
        for heading in ("figure", "value", "unit", "spread", "bound", "holds", "load"):
            table.add_column(heading, justify="left" if heading in {"figure", "unit", "holds"} else "right")
        for one in self.figures:
            spread = f"{format_number(one.low)} … {format_number(one.high)}" if one.rounds > 1 else ""
            sign = "≤" if one.better == "lower" else "≥"
            bound = "" if one.bound is None else f"{sign} {format_number(one.bound)}"
            name = f"{one.name}\n  {one.note}" if one.note else one.name
            table.add_row(name, format_number(one.value), one.unit, spread, bound, _verdict(one), f"{one.load:g}")
        Console(width=None if sys.stdout.isatty() else 160).print(table)


def format_document(document: dict[str, Any]) -> str:
    """Return a report as JSON with a line for each figure, so that a difference between two runs can be read."""
    head = json.dumps({key: value for key, value in document.items() if key != "figures"}, indent=2, default=str)
    figures = ",\n    ".join(json.dumps(each, ensure_ascii=False) for each in document["figures"])
    return head[: -len("\n}")] + f',\n  "figures": [\n    {figures}\n  ]\n}}\n'


def commit() -> str:
    """Return the short id of the commit that is measured, with `+` where the tree differs from it."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    done = subprocess.run(command, cwd=OUT.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def machine() -> dict[str, Any]:
    """Return what the figures were measured on, and how busy it is now."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter here, as far as they are installed."""
    installed = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def format_number(value: float | None) -> str:
    """Return a number with three significant digits, or in full from 1,000 on; an empty text for None."""
    if value is None:
        return ""
    if value and abs(value) < 1000:
        return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return f"{value:,.0f}"


def _verdict(one: Figure) -> str:
    return {True: "yes", False: "NO", None: ""}[one.holds]
