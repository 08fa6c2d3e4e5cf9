"""`python -m benchmarks.ratelimit`: every figure of the rate limiter, as a table and as JSON."""

import argparse
import os
import sys
from importlib import metadata
from pathlib import Path

import redis

from benchmarks.ratelimit.asgi import measure_asgi
from benchmarks.ratelimit.asynchronous import measure_async
from benchmarks.ratelimit.memory import measure_memory
from benchmarks.ratelimit.rounds import Effort
from benchmarks.ratelimit.server import redis_server
from benchmarks.ratelimit.sync import measure_sync
from benchmarks.report import Report

_PARTS = ("sync", "async", "asgi", "memory")
_PEERS = ("limits", "throttled-py", "pyrate-limiter", "slowapi", "fastapi-limiter", "starlette", "fastapi")


def main() -> int:
    """Measure; with --strict the exit code says whether every bound holds."""
    wanted = _arguments()
    quick = wanted.quick
    effort = Effort(rounds=15, moment_s=0.02) if quick else Effort(rounds=45, moment_s=0.05)
    # An eighth of the keys in an eighth of the table: Redis's own tables take the same share of both.
    keys = 125_000 if quick else 1_000_000
    report = Report("ratelimit", settings={"rounds": effort.rounds, "moment_s": effort.moment_s, "keys": keys})
    report.versions.update({peer: metadata.version(peer) for peer in _PEERS})
    with redis_server() as port:
        with redis.Redis(port=port) as client:
            report.versions["redis-server"] = client.info("server")["redis_version"]
        if "sync" in wanted.only:
            measure_sync(report, port, effort)
        if "async" in wanted.only:
            measure_async(report, port, effort)
        if "asgi" in wanted.only:
            measure_asgi(report, port, effort)
        if "memory" in wanted.only:
            measure_memory(report, port, keys)
    holds = report.finish(wanted.out)
    if not holds:
        print("some bounds do not hold here; the table says which", file=sys.stderr)
    return 0 if holds or not wanted.strict else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratelimit", description=__doc__)
    parser.add_argument("--only", default=",".join(_PARTS), help=f"some of {','.join(_PARTS)}")
    parser.add_argument("--out", type=Path, help="where the JSON goes (benchmarks/out/ratelimit.json)")
    quick = os.environ.get("QUICK") == "1"
    parser.add_argument("--quick", action="store_true", default=quick, help="few rounds, 125,000 keys (QUICK=1)")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a bound does not hold")
    wanted = parser.parse_args()
    wanted.only = wanted.only.split(",")
    if unknown := set(wanted.only) - set(_PARTS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(_PARTS)}")
    return wanted


if __name__ == "__main__":
    sys.exit(main())
