"""`python -m benchmarks.ratelimit`: measure the rate limiter."""

import argparse
import sys
from importlib import metadata

import redis

from benchmarks.command import finish, options, read
from benchmarks.ratelimit.asgi import measure_asgi
from benchmarks.ratelimit.async_checks import measure_async
from benchmarks.ratelimit.memory import measure_memory
from benchmarks.ratelimit.rounds import Effort
from benchmarks.ratelimit.server import redis_server
from benchmarks.ratelimit.sync_checks import measure_sync
from benchmarks.report import Report

_PARTS = ("sync", "async", "asgi", "memory")
_PEERS = ("limits", "throttled-py", "pyrate-limiter", "slowapi", "fastapi-limiter", "starlette", "fastapi")


def main() -> int:
    """Measure; with --strict the exit code says whether every bound holds."""
    arguments = _arguments()
    quick = arguments.quick
    effort = Effort(rounds=15, moment_s=0.02) if quick else Effort(rounds=45, moment_s=0.05)
    # An eighth of the keys in an eighth of the table: Redis's own tables take the same share of both.
    keys = 125_000 if quick else 1_000_000
    report = Report("ratelimit", settings={"rounds": effort.rounds, "moment_s": effort.moment_s, "keys": keys})
    report.versions.update({peer: metadata.version(peer) for peer in _PEERS})
    with redis_server() as port:
        with redis.Redis(port=port) as client:
            report.versions["redis-server"] = client.info("server")["redis_version"]
        if "sync" in arguments.only:
            measure_sync(report, port, effort)
        if "async" in arguments.only:
            measure_async(report, port, effort)
        if "asgi" in arguments.only:
            measure_asgi(report, port, effort)
        if "memory" in arguments.only:
            measure_memory(report, port, keys)
    return finish(report, arguments)


def _arguments() -> argparse.Namespace:
    parser = options("ratelimit", _PARTS, about=__doc__, quick="few rounds, 125,000 keys")
    return read(parser, _PARTS)


if __name__ == "__main__":
    sys.exit(main())
