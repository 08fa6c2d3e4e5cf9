"""Measure what change capture costs the application: writes with and without triggers, interleaved."""

import re
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.refresh.environment import Environment, environment
from benchmarks.report import Report, figure
from sample_app.synthetic import generate
from tests.servers.postgres import PostgresPair

_TENANTS, _STORES, _PRODUCTS, _SEED = 200, 3, 200, 1
_CLIENTS = 4

# One sale of three items and a payment a transaction, as a till writes it: four statements, all keys checked.
_SALE = f"""
\\set tenant random(0, {_TENANTS - 1})
\\set store random(0, {_STORES - 1})
\\set one random(0, {_PRODUCTS - 1})
\\set two random(0, {_PRODUCTS - 1})
\\set three random(0, {_PRODUCTS - 1})
\\set number random(1, 1000000000000)
BEGIN;
INSERT INTO retail.sales (id, tenant_id, store_id, receipt_number)
VALUES (md5('bench/' || :number)::uuid::text, md5('{_SEED}/tenant/' || :tenant)::uuid::text,
 md5('{_SEED}/store/' || :tenant || '/' || :store)::uuid::text, 'bench');
INSERT INTO retail.sale_items (sale_id, product_id, quantity, unit_price, tax_amount, unit_cost)
VALUES (md5('bench/' || :number)::uuid::text, md5('{_SEED}/product/' || :tenant || '/' || :one)::uuid::text, 1, 9.99, 2, 5),
 (md5('bench/' || :number)::uuid::text, md5('{_SEED}/product/' || :tenant || '/' || :two)::uuid::text, 2, 3.49, 1, 2),
 (md5('bench/' || :number)::uuid::text, md5('{_SEED}/product/' || :tenant || '/' || :three)::uuid::text, 1, 24.50, 5, 11);
INSERT INTO retail.payments (sale_id, method, amount) VALUES (md5('bench/' || :number)::uuid::text, 'card', 49.47);
END;
"""

_BULK_SALES = """
INSERT INTO retail.sales (id, tenant_id, store_id, receipt_number)
SELECT md5('bulk/' || %(round)s || '/' || n)::uuid::text, s.tenant_id, s.id, 'bulk'
FROM generate_series(1, %(rows)s) AS n
INNER JOIN (SELECT row_number() OVER () AS place, id, tenant_id FROM retail.stores) AS s ON s.place = 1 + n %% 600
"""
_BULK_ITEMS = """
INSERT INTO retail.sale_items (sale_id, product_id, quantity, unit_price)
SELECT md5('bulk/' || %(round)s || '/' || (1 + n / 3))::uuid::text, NULL, 1, 9.99
FROM generate_series(0, 3 * %(rows)s - 1) AS n
"""


def measure_capture(report: Report, pair: PostgresPair, *, rounds: int, seconds: int) -> None:
    """Single sales through pgbench, then bulk inserts; each round is measured with and without."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as scratch:
        databases = {
            name: stack.enter_context(environment(pair, f"capture_{name}", capture=name == "with"))
            for name in ("without", "with")
        }
        for bench in databases.values():
            generate(bench.application, tenants=_TENANTS, stores=_STORES, products=_PRODUCTS, sales=1_000, seed=_SEED)
            bench.settle()
        script = Path(scratch) / "sale.sql"
        script.write_text(_SALE, encoding="utf-8")
        rates: dict[str, list[float]] = {"without": [], "with": []}
        bulk: dict[str, list[float]] = {"without": [], "with": []}
        for each in databases.values():
            _pgbench(each, script, seconds=1)
        for number in range(rounds):
            # The order turns around each time, so that neither side always comes first.
            for name in sorted(databases, reverse=number % 2 == 1):
                rates[name].append(_pgbench(databases[name], script, seconds=seconds))
        for number in range(rounds):
            for name in sorted(databases, reverse=number % 2 == 1):
                bulk[name].append(_bulk_rate(databases[name], number))
        for name, rate_rounds in rates.items():
            report.add(figure(f"single sales {name} capture", rate_rounds, "transactions/s"))
        report.add(
            figure("capture: single sales, throughput kept", _ratios(rates), "of 1", bound=0.85, better="higher"),
            figure("bulk inserts without capture", bulk["without"], "rows/s"),
            figure("bulk inserts with capture", bulk["with"], "rows/s"),
            figure("capture: bulk inserts, throughput kept", _ratios(bulk), "of 1", bound=0.8, better="higher"),
        )


def _ratios(rates: dict[str, list[float]]) -> list[float]:
    base = statistics.median(rates["without"])
    paired = [ours / theirs for ours, theirs in zip(rates["with"], rates["without"], strict=True)]
    return paired if len(paired) > 1 else [rates["with"][0] / base]


def _pgbench(bench: Environment, script: Path, *, seconds: int) -> float:
    program = bench.pair.primary.cluster.binaries.program("pgbench")
    command = [
        str(program),
        "-n",
        "-c",
        str(_CLIENTS),
        "-j",
        "1",
        "-T",
        str(seconds),
        "-f",
        str(script),
        bench.url("postgres"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    match = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert match is not None, done.stdout
    return float(match[1])


def _bulk_rate(bench: Environment, number: int, *, sales: int = 10_000) -> float:
    parameters = {"round": number, "rows": sales}
    started = time.perf_counter()
    with bench.application.transaction():
        bench.application.execute(_BULK_SALES, parameters)
        bench.application.execute(_BULK_ITEMS, parameters)
    return 4 * sales / (time.perf_counter() - started)
