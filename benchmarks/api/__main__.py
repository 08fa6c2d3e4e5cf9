"""`python -m benchmarks.api`: measure what a thousand users of the dashboards see and cost."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg

from benchmarks.api.database_time import measure_database_time
from benchmarks.api.fixtures import cores_by_niceness, running_stack
from benchmarks.api.users import SALES_PER_S, measure_users
from benchmarks.command import finish, options, read
from benchmarks.refresh.dataset import TENANTS
from benchmarks.report import Report

_PARTS = ("users", "database")


def main() -> int:
    """Measure; with --strict the exit code says whether every bound holds."""
    arguments = _arguments()
    report = Report(
        "api",
        settings={
            "lines": arguments.lines,
            "tenants": TENANTS,
            "users": arguments.users,
            "seconds": arguments.seconds,
            "sales_per_s": SALES_PER_S,
            "quick": arguments.quick,
        },
    )
    if "users" in arguments.only:
        if shutil.which("wrk") is None:
            sys.stderr.write("error: wrk is not on PATH: benchmarks/api/install-wrk installs Debian's\n")
            return 1
        report.versions["wrk"] = _wrk_version()
        with (
            cores_by_niceness() as is_by_niceness,
            running_stack(arguments.lines, users=arguments.users, data_dir=arguments.data_dir) as stack,
        ):
            report.versions["cores shared by niceness"] = str(is_by_niceness)
            with psycopg.connect(stack.settings.url("admin_url")) as admin:
                report.versions["postgresql"] = admin.info.parameter_status("server_version") or ""
            measure_users(report, stack, seconds=arguments.seconds, rounds=1 if arguments.quick else 3)
    if "database" in arguments.only:
        sizes = (10_000, 50_000) if arguments.quick else (50_000, 500_000)
        measure_database_time(report, sizes, rounds=1 if arguments.quick else 3)
    return finish(report, arguments)


def _wrk_version() -> str:
    output = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout
    return output.split()[1] if output else "unknown"


def _arguments() -> argparse.Namespace:
    parser = options("api", _PARTS, about=__doc__, quick="few lines, one short round")
    parser.add_argument("--lines", type=lambda text: int(float(text)), help="sale lines of the users' 200 tenants")
    parser.add_argument("--users", type=int, default=1_000, help="connections at once, each asking once a second")
    parser.add_argument("--seconds", type=float, help="of load in each round")
    parser.add_argument("--data-dir", type=Path, help="keep the loaded stack here, for another run")
    arguments = read(parser, _PARTS)
    arguments.lines = arguments.lines or (50_000 if arguments.quick else 500_000)
    arguments.seconds = arguments.seconds or (8.0 if arguments.quick else 20.0)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
