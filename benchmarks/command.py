"""What the benchmarks' command lines share: the options, and how they end."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Report


def options(name: str, parts: Sequence[str], *, about: str | None, quick: str) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has.

    Args:
        name: of the benchmark: its package, and its JSON.
        parts: what `--only` takes.
        about: what the help begins with.
        quick: what `--quick` makes smaller.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("--only", default=",".join(parts), help=f"some of {','.join(parts)}")
    parser.add_argument("--out", type=Path, help=f"where the JSON goes (benchmarks/out/{name}.json)")
    is_quick = os.environ.get("QUICK") == "1"
    parser.add_argument("--quick", action="store_true", default=is_quick, help=f"{quick} (QUICK=1)")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a bound does not hold")
    return parser


def read(parser: argparse.ArgumentParser, parts: Sequence[str]) -> argparse.Namespace:
    """Read the command line; `only` is a list. A part that there is not ends the process with its name."""
    wanted = parser.parse_args()
    wanted.only = wanted.only.split(",")
    if unknown := set(wanted.only) - set(parts):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(parts)}")
    return wanted


def finish(report: Report, wanted: argparse.Namespace) -> int:
    """Show and keep the report; gives the exit code, which with `--strict` says whether every bound holds."""
    holds = report.finish(wanted.out)
    if not holds:
        print("some bounds do not hold here; the table says which", file=sys.stderr)
    return 0 if holds or not wanted.strict else 1
