"""`python -m benchmarks.refresh`: measure the refresh."""

import argparse
import itertools
import os
import sys
from contextlib import ExitStack

from benchmarks.command import finish, options, read
from benchmarks.refresh.capture import measure_capture
from benchmarks.refresh.dataset import Dataset, make_dataset
from benchmarks.refresh.end_to_end import measure_end_to_end
from benchmarks.refresh.environment import SETTINGS, environment, running_pair, value
from benchmarks.refresh.memory import measure_batches, measure_real_sales, measure_whole_batch
from benchmarks.refresh.scattered import measure_growth, measure_naive, measure_scattered
from benchmarks.refresh.single import measure_backfill, measure_bucket, measure_idle, measure_verification
from benchmarks.report import Report

_PARTS = ("scattered", "naive", "bucket", "idle", "verification", "memory", "real", "capture", "end_to_end")


def main() -> int:
    """Measure; the exit code says whether every bound holds."""
    arguments = _arguments()
    quick = arguments.quick
    report = Report("refresh", settings={"server": dict(SETTINGS), "lines": arguments.lines, "quick": quick})
    if set(arguments.only) - {"end_to_end"}:
        _measure_pair(report, arguments)
    if "end_to_end" in arguments.only:
        measure_end_to_end(report, seconds=arguments.seconds or (15 if quick else 60))
    return finish(report, arguments)


def _measure_pair(report: Report, arguments: argparse.Namespace) -> None:
    """What needs a primary and its standby only."""
    quick = arguments.quick
    with running_pair() as pair:
        with pair.primary.connect() as connection:
            report.versions["postgresql"] = value(connection, "SHOW server_version")
        with ExitStack() as stack:
            sets: list[Dataset] = []
            for lines in arguments.lines:
                bench = stack.enter_context(environment(pair, f"bench_{lines}"))
                sets.append(_measure_size(report, make_dataset(bench, lines), arguments.only, quick=quick))
            if "scattered" in arguments.only:
                for small, large in itertools.pairwise(sets):
                    measure_growth(report, small, large)
        if "real" in arguments.only:
            measure_real_sales(report, pair)
        if "capture" in arguments.only:
            measure_capture(report, pair, rounds=3 if quick else 10, seconds=2 if quick else 3)


def _measure_size(report: Report, data: Dataset, only: list[str], *, quick: bool) -> Dataset:
    rounds = 3 if quick else 7
    measure_backfill(report, data)
    if "scattered" in only:
        measure_scattered(report, data, rounds=rounds)
    if "naive" in only and data.refreshed_ms:
        measure_naive(report, data, rounds=1 if quick or data.lines > 10**5 else 3)
    if "bucket" in only:
        measure_bucket(report, data, rounds=rounds)
    if "idle" in only:
        measure_idle(report, data, rounds=10 * rounds)
    if "verification" in only:
        measure_verification(report, data, rounds=1 if quick else 3)
    if "memory" in only:
        measure_batches(report, data)
        if data.lines <= 10**6:
            measure_whole_batch(report, data)
    return data


def _arguments() -> argparse.Namespace:
    parser = options("refresh", _PARTS, about=__doc__, quick="10^5 lines and few rounds")
    parser.add_argument("--lines", default=os.environ.get("LINES"), help="sizes in sale lines, as in 1e5,1e6")
    parser.add_argument("--seconds", type=float, help="of sales from end to end, for each variant")
    arguments = read(parser, _PARTS)
    try:
        default = "1e5" if arguments.quick else "1e5,1e6"
        arguments.lines = sorted(int(float(part)) for part in (arguments.lines or default).split(","))
    except ValueError:
        parser.error(f"--lines: {arguments.lines!r} is no list of numbers")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
