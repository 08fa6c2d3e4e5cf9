"""Measure latency and cost of a thousand users, alone and beside a backfill."""

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median

import psycopg

from benchmarks.api.fixtures import BUNDLED_LIMIT, WIDE_LIMIT, StackFixture, wait_until_quiet
from benchmarks.api.load import Load, run_load
from benchmarks.report import Figure, Report, figure
from local_stack.waiting import wait_until

SALES_PER_S = 10.0
_WARM_UP_S = 10.0
_MEMORY_MIB = 300
_SALES = "SELECT count(*) FROM retail.sales"
_REPRICE = """
UPDATE retail.sale_items AS i SET unit_price = i.unit_price + 0.01
FROM retail.sales AS s WHERE s.id = i.sale_id AND s.tenant_id = %s
"""
_QUEUED = "SELECT count(*) FROM (SELECT FROM salespulse.pending_document LIMIT 1) AS p"


def measure_users(report: Report, stack: StackFixture, *, seconds: float, rounds: int) -> None:
    """With think time and without, live sales and refreshes going on; then with think time beside a backfill, in turns."""
    with live_sales(stack):
        stack.allow(BUNDLED_LIMIT)
        alone, beside, rewriting = [], [], []
        for _ in range(rounds):
            alone.append(_measured(stack, seconds=seconds, think_ms=1_000))
            with backfills(stack):
                beside.append(_measured(stack, seconds=seconds, think_ms=1_000))
            with rewrites(stack):
                rewriting.append(_measured(stack, seconds=seconds, think_ms=1_000))
        _report_users(report, f"{stack.users:,} users, a request a second each", alone, p95=50, p99=200)
        _report_backfill(report, f"{stack.users:,} users beside a backfill", alone, beside)
        _report_backfill(report, f"{stack.users:,} users beside a backfill of changed history", alone, rewriting)
        stack.allow(WIDE_LIMIT)
        _report_users(
            report,
            f"{stack.users:,} connections without think time",
            [_measured(stack, seconds=seconds, think_ms=0) for _ in range(rounds)],
            p95=200,
            p99=None,
        )
    report.add(Figure("memory of the API after all that", _memory_mib(stack), "MiB", bound=_MEMORY_MIB))


def _measured(stack: StackFixture, *, seconds: float, think_ms: int) -> Load:
    """Under way, not from a standing start: a thousand users who arrive in the same moment are another question."""
    run_load(stack, seconds=_WARM_UP_S, think_ms=think_ms)
    return run_load(stack, seconds=seconds, think_ms=think_ms)


def _memory_mib(stack: StackFixture) -> float:
    """Return the memory of the parent and its workers; shared pages count once."""
    parent = stack.process("dashboard")
    workers = parent.children(recursive=True)
    if not workers:
        return float(parent.memory_info().rss / 2**20)
    return float(sum(process.memory_full_info().pss for process in (parent, *workers)) / 2**20)


@contextmanager
def live_sales(stack: StackFixture) -> Iterator[None]:
    """Sales, edits, returns and the rest, at a steady pace, in a process of their own; Dagster refreshes by itself."""
    before = _value(stack, _SALES)
    with _command(stack, "traffic", "--rate", f"{SALES_PER_S:g}", "--json"):
        _await(lambda: _value(stack, _SALES) != before, "the first live sale")
        yield


@contextmanager
def backfills(stack: StackFixture) -> Iterator[None]:
    """Queue all of history repeatedly, so that refreshes apply it in batches beside the live sales."""
    before = _value(stack, _QUEUED)

    def backfill(is_over: threading.Event) -> None:
        with _command(stack, "backfill", "--json") as process:
            while process.poll() is None and not is_over.wait(0.1):
                pass

    with _again_and_again(backfill) as times:
        _await(lambda: _value(stack, _QUEUED) != before or times[0] > 0, "the backfill to begin")
        yield
    wait_until_quiet(stack.settings)


@contextmanager
def rewrites(stack: StackFixture) -> Iterator[None]:
    """Change every price, tenant after tenant, so that refreshes rewrite their history beside the live sales."""
    tenants, changed = itertools.cycle(stack.tenants), [0]

    def change(is_over: threading.Event) -> None:
        del is_over
        with psycopg.connect(stack.settings.url("application_url"), autocommit=True) as application:
            changed[0] += application.execute(_REPRICE, [next(tenants)]).rowcount
        # The next one's when these are written: what is measured is the refreshes.
        wait_until_quiet(stack.settings)

    with _again_and_again(change):
        _await(lambda: changed[0] > 0, "the first prices to be changed")
        yield
    wait_until_quiet(stack.settings)


@contextmanager
def _again_and_again(work: Callable[[threading.Event], None]) -> Iterator[list[int]]:
    """Repeat the work until the block ends, which sets the event; yield how often it ran, as a list of one."""
    is_over, times = threading.Event(), [0]

    def run() -> None:
        while not is_over.is_set():
            work(is_over)
            times[0] += 1

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(run)
        try:
            yield times
        finally:
            is_over.set()
        # Where that failed, nothing was measured beside it.
        running.result()


def _await(is_so: Callable[[], bool], what: str) -> None:
    wait_until(is_so, timeout_s=120, what=what, every_s=0.1)


def _value(stack: StackFixture, statement: str) -> int:
    with psycopg.connect(stack.settings.url("admin_url"), autocommit=True) as admin:
        row = admin.execute(statement.encode()).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _command(stack: StackFixture, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "SALESPULSE_DATA_DIR": str(stack.directory)}
    command = [sys.executable, "-c", "from salespulse.cli import main; main()", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
            if process.poll():
                raise RuntimeError(f"salespulse {arguments[0]} failed with exit code {process.returncode}")
        finally:
            process.terminate()


def _report_users(report: Report, name: str, loads: list[Load], *, p95: float, p99: float | None) -> None:
    report.add(
        figure(f"{name}: answers a second", [load.per_second for load in loads], "/s", note=_shares(loads)),
        figure(f"{name}: p50", [load.ms("p50") for load in loads], "ms"),
        figure(f"{name}: p95", [load.ms("p95") for load in loads], "ms", bound=p95),
        figure(f"{name}: p99", [load.ms("p99") for load in loads], "ms", bound=p99),
        Figure(f"{name}: errors of any kind", sum(load.errors for load in loads), "", bound=0, note=_errors(loads)),
        Figure(
            f"{name}: connections refused by the machine", sum(load.refused_connections for load in loads), "", bound=0
        ),
        figure(f"{name}: answers from the process's memory", [100 * load.from_cache for load in loads], "%"),
        figure(f"{name}: answers for which the database was asked", [100 * load.from_database for load in loads], "%"),
        figure(
            f"{name}: database time per answer, the replica's refreshes included",
            [load.database_ms / load.wrk_figures["requests"] for load in loads],
            "ms",
        ),
    )
    for server in ("primary", "standby"):
        peak = max(load.server_connections.get(server, 0) for load in loads)
        report.add(Figure(f"{name}: most connections to the {server}", peak, "", bound=loads[0].connection_bound))


def _report_backfill(report: Report, name: str, alone: list[Load], beside: list[Load]) -> None:
    report.add(
        figure(f"{name}: p95", [load.ms("p95") for load in beside], "ms", note=_shares(beside)),
        Figure(f"{name}: errors of any kind", sum(load.errors for load in beside), "", bound=0),
        figure(
            f"{name}: p95 / without",
            [with_it.ms("p95") / without.ms("p95") for with_it, without in zip(beside, alone, strict=True)],
            "x",
            bound=2,
        ),
    )


def _shares(loads: list[Load]) -> str:
    """Return the cores that each program used, as text."""
    names = sorted({name for load in loads for name in load.cpu}, key=lambda name: -median(_cpu(loads, name)))
    return "cores: " + ", ".join(f"{name} {median(_cpu(loads, name)):.2f}" for name in names)


def _cpu(loads: list[Load], name: str) -> list[float]:
    return [load.cpu.get(name, 0.0) for load in loads]


def _errors(loads: list[Load]) -> str:
    counts = {
        name: sum(load.wrk_figures[name] for load in loads)
        for name in ("connect_errors", "read_errors", "write_errors", "status_errors", "timeouts")
    }
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())
