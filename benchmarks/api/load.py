"""Load the API with wrk, and record what each program, server and connection pool uses meanwhile."""

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from benchmarks.api.fixtures import StackFixture

_SCRIPT = Path(__file__).with_name("users.lua")
_WATCH_EVERY_S = 0.5
# An overloaded API works off its queue before it answers.
_PATIENCE_S = 120
_OUTCOMES = ("hit", "renewing", "joined", "miss")
_PROGRAMS = ("dashboard", "redis", "pgbouncer_dashboard", "postgres_primary", "postgres_standby", "worker")


@dataclass
class Load:
    """One round: wrk's counts, and what was observed meanwhile.

    Attributes:
        wrk_figures: wrk's own figures: `p95_us`, `requests`, each kind of error, and so on.
        cpu: of each program with its children, in cores.
        server_connections: the most that PostgreSQL had at a time, by server; and the bound, 80 % of `max_connections`.
        lookups: answers by where they came from, as the API counts them; and `read`: those for which the database was asked.
        database_ms: time that the standby spent in statements, of whoever they were.
        refused_connections: connections that the kernel turned away, or that a full queue dropped.
    """

    wrk_figures: dict[str, int]
    cpu: dict[str, float] = field(default_factory=dict)
    server_connections: dict[str, int] = field(default_factory=dict)
    connection_bound: int = 0
    lookups: dict[str, float] = field(default_factory=dict)
    database_ms: float = 0.0
    refused_connections: int = 0

    @property
    def errors(self) -> int:
        """Return the number of failed requests, of any kind."""
        return (
            sum(count for name, count in self.wrk_figures.items() if name.endswith("_errors"))
            + self.wrk_figures["timeouts"]
        )

    @property
    def per_second(self) -> float:
        return self.wrk_figures["requests"] / (self.wrk_figures["duration_us"] / 1e6)

    @property
    def from_cache(self) -> float:
        """Return the share of answers that came from memory."""
        return 1 - self.lookups["miss"] / self._looked_up

    @property
    def from_database(self) -> float:
        """Return the share of answers for which the database was read."""
        return self.lookups["read"] / self._looked_up

    @property
    def _looked_up(self) -> float:
        return max(1.0, sum(self.lookups[name] for name in _OUTCOMES))

    def ms(self, name: str) -> float:
        """Return one of wrk's latencies, such as `p95`, in milliseconds."""
        return self.wrk_figures[f"{name}_us"] / 1000


def run_load(stack: StackFixture, *, seconds: float, think_ms: int) -> Load:
    """Load the API for a while.

    Args:
        stack: what is loaded.
        seconds: how long.
        think_ms: mean pause of a connection between an answer and its next request; 0: none.
    """
    command = [
        "wrk", "--threads", "1", "--connections", str(stack.users), "--duration", f"{seconds:.0f}s", "--timeout", "10s",
        "--latency", "--script", str(_SCRIPT), stack.url, "--", str(stack.requests), str(think_ms), "0",
    ]  # fmt: skip
    watch = _Watch(stack)
    refused_before, lookups, busy_ms = _count_refused(), _lookups(stack), _active_ms(stack)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as wrk:
        watch.start()
        output = wrk.stdout.read() if wrk.stdout else ""
        _, status, used = os.wait4(wrk.pid, 0)
        wrk.returncode = os.waitstatus_to_exitcode(status)
    watch.stop()
    counts = next((line for line in output.splitlines() if line.startswith("JSON ")), None)
    if wrk.returncode or counts is None:
        raise RuntimeError(f"wrk failed: {output[-2000:]}")
    load = Load(json.loads(counts.removeprefix("JSON ")))
    load.cpu = {**watch.cpu, "wrk": (used.ru_utime + used.ru_stime) / (load.wrk_figures["duration_us"] / 1e6)}
    load.server_connections, load.connection_bound = watch.connections, watch.bound
    load.lookups = {name: count - lookups[name] for name, count in _lookups(stack).items()}
    load.database_ms = _active_ms(stack) - busy_ms
    load.refused_connections = _count_refused() - refused_before
    return load


class _Watch:
    """Looks at connections while wrk runs, and at processes before and after: looking costs the machine's time as well."""

    def __init__(self, stack: StackFixture) -> None:
        self._scene = stack
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._before: dict[str, float] = {}
        self._started_at = 0.0
        self.cpu: dict[str, float] = {}
        self.connections: dict[str, int] = {}
        self.bound = 0

    def start(self) -> None:
        self._before, self._started_at = self._used(), time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Call it when wrk has ended."""
        seconds = time.monotonic() - self._started_at
        self.cpu = {name: (used - self._before[name]) / seconds for name, used in self._used().items()}
        self._stop.set()
        self._thread.join()

    def _used(self) -> dict[str, float]:
        return {name: _cpu_s(self._scene.process(name)) for name in _PROGRAMS}

    def _run(self) -> None:
        settings = self._scene.settings
        with (
            psycopg.connect(settings.url("admin_url"), autocommit=True) as primary,
            psycopg.connect(settings.url("replica_direct_url"), autocommit=True) as standby,
        ):
            row = primary.execute("SELECT current_setting('max_connections')::int").fetchone()
            self.bound = row[0] * 8 // 10 if row else 0
            while not self._stop.wait(_WATCH_EVERY_S):
                for name, connection in (("primary", primary), ("standby", standby)):
                    self.connections[name] = max(self.connections.get(name, 0), _sessions(connection))


def _cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and its children, ended ones included."""
    times = process.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _sessions(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'").fetchone()
    return int(row[0]) if row else 0


def _active_ms(stack: StackFixture) -> float:
    with psycopg.connect(stack.settings.url("replica_direct_url"), autocommit=True) as standby:
        row = standby.execute("SELECT active_time FROM pg_stat_database WHERE datname = current_database()").fetchone()
    return float(row[0]) if row else 0.0


def _lookups(stack: StackFixture) -> dict[str, float]:
    counts = dict.fromkeys((*_OUTCOMES, "read"), 0.0)
    for line in httpx.get(f"{stack.url}/metrics", timeout=_PATIENCE_S).text.splitlines():
        if line.startswith("salespulse_answer_cache_lookups_total{"):
            counts[line.split('"')[1]] = float(line.rpartition(" ")[2])
        elif line.startswith("salespulse_report_reads_total{"):
            counts["read"] += float(line.rpartition(" ")[2])
    return counts


def _count_refused() -> int:
    """Connections that found a full queue: the machine's own count (ListenOverflows, ListenDrops)."""
    lines = Path("/proc/net/netstat").read_text(encoding="utf-8").splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("TcpExt:"))
    counts = dict(zip(names, map(int, values), strict=True))
    return counts.get("ListenOverflows", 0) + counts.get("ListenDrops", 0)
