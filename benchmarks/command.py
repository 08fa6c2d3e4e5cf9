"""Options of the benchmarks' command lines, and how each run ends."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Report


def options(name: str, parts: Sequence[str], *, about: str | None, quick: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has.

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
    is_published = os.environ.get("PUBLISH") == "1"
    parser.add_argument(
        "--publish", action="store_true", default=is_published, help="write docs/benchmarks/ too (PUBLISH=1)"
    )
    return parser


def read(parser: argparse.ArgumentParser, parts: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; `only` becomes a list. An unknown part ends the process with its name."""
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - set(parts):
        parser.error(f"--only: unknown part {', '.join(sorted(unknown))}: choose from {', '.join(parts)}")
    return arguments


def finish(report: Report, arguments: argparse.Namespace) -> int:
    """Print and write the report; return the exit code, which with `--strict` is 1 unless every bound holds."""
    holds = report.finish(arguments.out, is_published=arguments.publish)
    if not holds:
        print("some bounds do not hold here; the table shows which", file=sys.stderr)
    return 0 if holds or not arguments.strict else 1
