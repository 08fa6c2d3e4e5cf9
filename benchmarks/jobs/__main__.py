"""`python -m benchmarks.jobs`: measure background jobs."""

import argparse
import sys
from contextlib import ExitStack

import redis

from benchmarks.command import finish, options, read
from benchmarks.jobs.environment import api, stack
from benchmarks.jobs.running import measure_burst, measure_soak
from benchmarks.jobs.streaming import measure_streams
from benchmarks.jobs.submitting import measure_races, measure_submits, measure_triggers
from benchmarks.jobs.transitions import measure_transitions
from benchmarks.jobs.volume import measure_volume
from benchmarks.ratelimit.server import redis_server
from benchmarks.report import Report

_PARTS = ("transitions", "volume", "http", "runs")


def main() -> int:
    """Measure; with --strict the exit code says whether every bound holds."""
    arguments = _arguments()
    quick = arguments.quick
    sizes = {
        "transitions": 2_500 if quick else 25_000,
        "volume_jobs": 500 if quick else 5_000,
        "submit_seconds": 5 if quick else 30,
        "submits_per_second": 100,
        "race_rounds": 5 if quick else 50,
        "events_per_stream": 5 if quick else 30,
        "events_per_second": 500,
        "real_runs": 20 if quick else 200,
    }
    report = Report("jobs", settings={"quick": quick, **sizes})
    if "transitions" in arguments.only:
        with redis_server() as port:
            with redis.Redis(port=port) as client:
                report.versions["redis-server"] = client.info("server")["redis_version"]
            measure_transitions(report, port, transitions=sizes["transitions"])
    if "volume" in arguments.only:
        with redis_server(durable=True) as port:
            measure_volume(report, port, jobs=sizes["volume_jobs"])
    if {"http", "runs"} & set(arguments.only):
        _on_a_stack(report, arguments.only, sizes)
    return finish(report, arguments)


def _on_a_stack(report: Report, only: list[str], sizes: dict[str, int]) -> None:
    with ExitStack() as opened:
        settings = opened.enter_context(stack())
        if "http" in only:
            # In a Redis of its own, so that no bridge begins what is submitted.
            with redis_server(durable=True) as port, api(settings, f"redis://127.0.0.1:{port}/0") as service:
                measure_submits(report, service, rate=sizes["submits_per_second"], seconds=sizes["submit_seconds"])
                measure_races(report, service, rounds=sizes["race_rounds"])
                measure_triggers(report, service)
            with redis_server(durable=True) as port, api(settings, f"redis://127.0.0.1:{port}/0") as service:
                measure_streams(report, service, events=sizes["events_per_stream"], rate=sizes["events_per_second"])
        if "runs" in only:
            assert settings.dagster_home is not None
            with api(settings) as service:
                measure_soak(report, service, jobs=sizes["real_runs"], within_s=60 + 6.0 * sizes["real_runs"])
                measure_burst(report, service, settings.dagster_home)


def _arguments() -> argparse.Namespace:
    parser = options("jobs", _PARTS, about=__doc__, quick="small sizes")
    return read(parser, _PARTS)


if __name__ == "__main__":
    sys.exit(main())
