"""Start a redis-server for a benchmark on a free port, without persistence by default."""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

import redis

from local_stack.redis_server import redis_binary

_START_S = 10.0


@contextlib.contextmanager
def redis_server(*, durable: bool = False) -> Iterator[int]:
    """Start one, with the append-only file of production where it is to be durable; gives its port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as folder:
        process = subprocess.Popen(
            [
                str(redis_binary()),
                "--port",
                str(port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "yes" if durable else "no",
                "--dir",
                folder,
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            _await(port)
            yield port
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int) -> None:
    deadline_s = time.monotonic() + _START_S
    with redis.Redis(port=port) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.02)
            else:
                return
