"""Measure the time from a sale's commit on the primary until a dashboard reads it on the replica, Dagster included.

Twenty sales a second are written by the clock, whatever becomes of them. A reader asks a rollup on the replica, as the dashboard's
role, how many sales it counts: since a refresh applies all that its snapshot shows, the n-th sale is visible when the count
reaches n.
"""

import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks.report import Figure, Report
from dbconnect import Settings
from local_stack.stack import StackOptions, down, up
from pipelines.refresh.observe import SourceObservation
from salespulse.cli.stack import NICE_VALUES, supervised_commands
from salespulse.demo import prepare_schema, wait_until_drained
from sample_app.synthetic import generate

RATE = 20.0
_LOOK_EVERY_S = 0.02
_PATIENCE_S = 60.0
# What SALESPULSE_DRAIN_SECONDS is set to, what the figure is called, and its bound in seconds.
VARIANTS = (
    (5, "the settings as they come", 3.0),
    (600, "a run that keeps draining", 1.0),
)
# The stack has only just started, and nobody's first run after that is what is asked about.
_WARM_UP_S = 10.0
_PLACE = "INSERT INTO retail.tenants (id, name) VALUES ('bench', 'Bench'); INSERT INTO retail.stores (id, tenant_id, name) VALUES ('bench', 'bench', 'Bench')"
_SALE = """
WITH sale AS (
    INSERT INTO retail.sales (tenant_id, store_id, receipt_number) VALUES ('bench', 'bench', 'bench') RETURNING id
),

item AS (
    INSERT INTO retail.sale_items (sale_id, quantity, unit_price) SELECT id, 1, 9.99 FROM sale CROSS JOIN generate_series(1, 3)
)

INSERT INTO retail.payments (sale_id, method, amount) SELECT id, 'card', 29.97 FROM sale
"""


def measure_end_to_end(report: Report, *, seconds: float) -> None:
    """One stack, started once for each way of draining."""
    with _data_dir() as directory:
        for drain_s, name, bound in VARIANTS:
            os.environ["SALESPULSE_DRAIN_SECONDS"] = str(drain_s)
            try:
                settings = _start(directory)
                latencies = _latencies(settings, seconds=seconds)
            finally:
                del os.environ["SALESPULSE_DRAIN_SECONDS"]
                down(directory, log=_say)
            note = f"{len(latencies):,} sales at {RATE:g} a second, SALESPULSE_DRAIN_SECONDS={drain_s}"
            report.add(
                Figure(f"commit to rollup on the replica, p50, {name}", statistics.median(latencies), "s", note=note),
                Figure(
                    f"commit to rollup on the replica, p95, {name}",
                    statistics.quantiles(latencies, n=100)[94],
                    "s",
                    bound=bound,
                    note=f"slowest {max(latencies):.2f} s",
                ),
            )


def _start(directory: Path) -> Settings:
    """Bring the stack up, with some sales to stand between, and wait until nothing is pending."""
    options = StackOptions(data_dir=directory, with_ui=False, commands=supervised_commands(), nice_values=NICE_VALUES)
    settings = up(options, migrate=prepare_schema, log=_say).settings
    with psycopg.connect(settings.url("application_url"), autocommit=True) as connection:
        if connection.execute("SELECT count(*) FROM retail.tenants").fetchone() == (0,):
            generate(connection, tenants=20, sales=5_000, days=400)
            connection.execute(_PLACE)
    wait_until_drained(settings, watch=_ignore)
    return settings


def _latencies(settings: Settings, *, seconds: float) -> list[float]:
    """Write for so many seconds; give each sale's time from commit to visible, those of the warm-up left out."""
    warm_up = int(_WARM_UP_S * RATE)
    sale_count = warm_up + int(seconds * RATE)
    committed: list[float] = []
    with psycopg.connect(settings.url("admin_url"), autocommit=True) as admin:
        keys = admin.execute(
            "SELECT t.tenant_key, s.store_key FROM salespulse.dim_tenant AS t "
            "INNER JOIN salespulse.dim_store AS s USING (tenant_key) WHERE t.tenant_id = 'bench'"
        ).fetchone()
    assert keys is not None
    writer = threading.Thread(target=_write, args=(settings, sale_count, committed))
    visible: list[float] = []
    with psycopg.connect(settings.url("dashboard_url"), autocommit=True, prepare_threshold=None) as dashboard:
        before = _counted(dashboard, *keys)
        writer.start()
        ends_at = time.monotonic() + sale_count / RATE + _PATIENCE_S
        while len(visible) < sale_count and time.monotonic() < ends_at:
            visible_count = _counted(dashboard, *keys) - before
            visible += [time.monotonic()] * (visible_count - len(visible))
            time.sleep(_LOOK_EVERY_S)
    writer.join()
    assert len(visible) == len(committed) == sale_count, f"{len(visible)} of {len(committed)} sales became visible"
    return [seen - done for seen, done in zip(visible, committed, strict=True)][warm_up:]


def _write(settings: Settings, sale_count: int, committed: list[float]) -> None:
    with psycopg.connect(settings.url("application_url"), autocommit=True) as connection:
        started_at = time.monotonic()
        for number in range(sale_count):
            time.sleep(max(0.0, started_at + number / RATE - time.monotonic()))
            connection.execute(_SALE)
            committed.append(time.monotonic())


def _counted(dashboard: psycopg.Connection, tenant_key: int, store_key: int) -> int:
    with dashboard.transaction():
        dashboard.execute("SELECT set_config('salespulse.tenant_key', %s, true)", [str(tenant_key)])
        row = dashboard.execute(
            "SELECT coalesce(sum(sale_count), 0) FROM salespulse.daily_store_sales WHERE store_key = %s", [store_key]
        ).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def _data_dir() -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix="salespulse-bench-"))
    scratch.chmod(0o755)
    try:
        yield scratch / "stack"
    finally:
        down(scratch / "stack", log=_say)
        shutil.rmtree(scratch, ignore_errors=True)


def _ignore(seen: SourceObservation) -> None:
    del seen


def _say(line: str) -> None:
    print(f"  stack: {line}", flush=True)
