"""Several worker processes on one port: spread, replaced, measured together, drained, and within their connections."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from dbconnect import Settings
from local_stack.waiting import wait_until
from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.process import answers, environment, free_port, run
from tests.dashboard_api.server import token_for

PROCESSES = 2
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


@dataclass
class PreforkServer:
    """The parent and where it serves."""

    process: subprocess.Popen[str]
    url: str

    def workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def ports(self) -> list[int]:
        """Of the workers' own ends of their connections: other APIs may read the same database."""
        return [
            connection.laddr.port
            for pid in self.workers()
            for connection in psutil.Process(pid).net_connections()
            if connection.laddr
        ]

    def samples(self, name: str, *labels: str) -> list[float]:
        """One sample for each worker that has it, of whichever worker answers the scrape."""
        text = httpx.get(f"{self.url}/metrics", timeout=30).text
        return [
            float(value)
            for sample_name, sample_labels, value in _SAMPLE.findall(text)
            if sample_name == name and all(label in sample_labels for label in labels)
        ]

    def is_whole(self) -> bool:
        try:
            return self.samples("salespulse_worker_up") == [1.0] * PROCESSES
        except httpx.TransportError:
            return False


@contextmanager
def run_server(settings: Settings, directory: Path) -> Iterator[PreforkServer]:
    port = free_port()
    process = run(environment(settings, port) | {"TMPDIR": str(directory)}, directory)
    server = PreforkServer(process, f"http://127.0.0.1:{port}")
    with ThreadPoolExecutor(1) as reading:
        log = reading.submit(process.stderr.read if process.stderr else str)
        try:
            wait_until(server.is_whole, timeout_s=60, what="every worker to serve", every_s=0.1)
            yield server
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(60)
            (directory / "log").write_text(log.result())


def request_often(server: PreforkServer, token: str, count: int) -> list[int]:
    """Each on a connection of its own, so that the kernel spreads them."""
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{server.url}/api/dashboard/sales-summary"
    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(lambda _: httpx.get(url, headers=headers, timeout=60).status_code, range(count)))


def test_workers_share_a_port_and_their_metrics_add_up(
    api_settings: Callable[..., Settings], shop: Shop, tmp_path: Path
) -> None:
    with run_server(api_settings(dashboard_processes=PROCESSES), tmp_path) as server:
        assert len(server.workers()) == PROCESSES
        assert request_often(server, token_for(shop.tenant), 64) == [200] * 64
        for _ in range(4):
            counts = server.samples(
                "salespulse_http_request_seconds_count", 'route="/api/dashboard/sales-summary"', 'status="200"'
            )
            # None of 64 on one side: once in 2 ** 63 times.
            assert len(counts) == PROCESSES
            assert sum(counts) == 64
        assert len(server.samples("jobs_store_up")) == 1, "what all of them see alike is shown once"
        assert server.samples("salespulse_dashboard_staleness_seconds") != []
        limits = server.samples("salespulse_pool_limit", 'server="replica"')
        assert limits == [4.0] * PROCESSES
    assert server.process.returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert sum(line.get("path") == "/api/dashboard/sales-summary" for line in lines) == 64


def test_a_killed_worker_is_replaced(api_settings: Callable[..., Settings], shop: Shop, tmp_path: Path) -> None:
    with run_server(api_settings(dashboard_processes=PROCESSES), tmp_path) as server:
        before = server.workers()
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        wait_until(
            lambda: len(server.workers()) == PROCESSES and killed not in server.workers(),
            timeout_s=60,
            what="a successor",
            every_s=0.05,
        )
        # Both queues are served: a connection to the killed worker's waits for the successor, and is not refused.
        assert request_often(server, token_for(shop.tenant), 32) == [200] * 32
        assert len(server.workers() & before) == PROCESSES - 1
        wait_until(server.is_whole, timeout_s=60, what="the successor to tell its metrics", every_s=0.1)


def test_workers_do_not_outlive_a_killed_parent(
    api_settings: Callable[..., Settings], shop: Shop, tmp_path: Path
) -> None:
    """Or they would keep the port from the next one."""
    del shop
    with run_server(api_settings(dashboard_processes=PROCESSES), tmp_path) as server:
        workers = server.workers()
        server.process.kill()
        server.process.wait(60)
        wait_until(
            lambda: not any(psutil.pid_exists(pid) for pid in workers),
            timeout_s=60,
            what="the workers' end",
            every_s=0.1,
        )
        assert not answers(f"{server.url}/healthz")
        assert list(tmp_path.glob("salespulse-dashboard-*")) == [], "the sockets between them are gone too"


def test_no_more_connections_than_the_bound(api_settings: Callable[..., Settings], shop: Shop, tmp_path: Path) -> None:
    with run_server(
        api_settings(dashboard_processes=PROCESSES, dashboard_cache_mb=0, dashboard_pool_size=3),
        tmp_path,
    ) as server:
        max_connections = 0
        with (
            ThreadPoolExecutor(1) as executor,
            shop.installation.pair.standby.connect(shop.installation.database.name) as standby,
        ):
            crowd = executor.submit(request_often, server, token_for(shop.tenant), 200)
            while not crowd.done():
                row = standby.execute(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE application_name = 'salespulse dashboard replica' AND client_port = ANY(%s)",
                    [server.ports()],
                ).fetchone()
                max_connections = max(max_connections, row[0] if row else 0)
        assert crowd.result() == [200] * 200
        assert 0 < max_connections <= PROCESSES * 3


def test_a_port_that_is_taken_is_one_line_and_exit_1(api_settings: Callable[..., Settings], tmp_path: Path) -> None:
    with run_server(api_settings(dashboard_processes=PROCESSES), tmp_path) as server:
        port = server.url.rpartition(":")[2]
        second = run(environment(api_settings(dashboard_processes=PROCESSES), int(port)), tmp_path)
        _, log = second.communicate(timeout=60)
        assert second.returncode == 1
        assert log.count("\n") == 1
        assert port in log


def test_workers_that_cannot_start_end_the_parent(
    api_settings: Callable[..., Settings], shop: Shop, tmp_path: Path
) -> None:
    """As one process would: a role that row-level security does not hold."""
    variables = environment(api_settings(dashboard_processes=PROCESSES), free_port())
    variables["SALESPULSE_DASHBOARD_URL"] = shop.installation.url(
        "salespulse_pipeline", server=shop.installation.pair.standby
    )
    process = run(variables, tmp_path)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "salespulse_dashboard" in log
