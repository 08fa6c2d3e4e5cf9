"""Real Redis servers for tests: one, a cluster of three masters with a replica each, and a Sentinel pair."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from local_stack.redis_server import redis_binary


def free_port() -> int:
    """A free port whose cluster bus port (10,000 higher) exists too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:
            return port


def until(condition: Callable[[], object], *, within_s: float = 60.0, every_s: float = 0.02) -> None:
    """Wait for a condition; errors of a server that is not there yet count as not met."""
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {condition}")
        time.sleep(every_s)


class Server:
    """One redis-server process. It can be stopped, continued, killed and started again on its port."""

    def __init__(self, folder: Path, *options: str, is_sentinel: bool = False, config: str = "") -> None:
        self.port = free_port()
        self._folder = folder / str(self.port)
        self._folder.mkdir(parents=True)
        self._config = self._folder / "redis.conf"
        self._config.write_text(config)
        self._options = [*(["--sentinel"] if is_sentinel else []), *options]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        is_sentinel = "--sentinel" in self._options
        persistence = [] if is_sentinel else ["--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [
                str(redis_binary()),
                str(self._config),
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
                *persistence,
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
        )
        until(lambda: self.client().ping())

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=2, socket_connect_timeout=2)

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()


@contextlib.contextmanager
def one(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[list[Server]]:
    """Three masters (the first three) and a replica of the first."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0")
    nodes = [Server(folder, *options) for _ in range(4)]
    try:
        clients = [node.client() for node in nodes]
        for number, (start, end) in enumerate([(0, 5460), (5461, 10922), (10923, 16383)]):
            clients[number].execute_command("CLUSTER", "ADDSLOTS", *range(start, end + 1))
            clients[number].execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        until(lambda: all(len(client.cluster("NODES")) == 4 for client in clients))
        first = clients[0].cluster("MYID")
        until(lambda: clients[3].execute_command("CLUSTER", "REPLICATE", first))
        until(lambda: all(client.cluster("INFO")["cluster_state"] == "ok" for client in clients))
        until(lambda: clients[3].info("replication")["master_link_status"] == "up")
        yield nodes
    finally:
        for node in nodes:
            node.stop()


@contextlib.contextmanager
def sentinel_pair(folder: Path) -> Iterator[tuple[Server, Server, Server]]:
    """A master, its replica and one Sentinel that fails over within about a second."""
    master = Server(folder)
    servers = [master]
    try:
        replica = Server(folder, "--replicaof", "127.0.0.1", str(master.port))
        servers.append(replica)
        until(lambda: replica.client().info("replication")["master_link_status"] == "up")
        config = (
            f"sentinel monitor shop 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds shop 300\n"
            "sentinel failover-timeout shop 2000\n"
        )
        sentinel = Server(folder, is_sentinel=True, config=config)
        servers.append(sentinel)
        until(lambda: sentinel.client().sentinel_master("shop")["num-slaves"] == 1)
        yield master, replica, sentinel
    finally:
        for server in servers:
            server.stop()
