"""Measure the memory of a refresh's process, and the rate of the real sales' backfill."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.refresh.dataset import Dataset
from benchmarks.refresh.environment import Environment, environment
from benchmarks.report import Figure, Report
from pipelines.refresh import RefreshOptions
from sample_app import load_online_retail
from sample_app.online_retail import DATA_FILE
from tests.servers.postgres import PostgresPair

_REAL_LINES = 541_909
_LIMIT_MIB = 300
_LARGEST_BATCH = 1_000_000


def measure_real_sales(report: Report, pair: PostgresPair) -> None:
    """Online Retail (one tenant, 38 stores, 21 lines an invoice): the first refresh over all of it."""
    with environment(pair, "real_sales") as bench:
        load_online_retail(bench.application, DATA_FILE)
        bench.settle()
        result = _run(bench, batch_documents=RefreshOptions(bench.options.mapping).batch_documents)
        assert result["lines"] == _REAL_LINES, result
        report.add(
            Figure(
                "backfill of the real sales (541,909 lines)",
                result["lines"] / result["seconds"],
                "lines/s",
                bound=60_000,
                better="higher",
                note=f"{result['documents']:,} sales and returns in {result['seconds']:.1f} s",
            ),
            _figure("memory of that backfill's process", result),
        )


def measure_batches(report: Report, data: Dataset) -> None:
    """10,000 changes in batches of 1,000, in the default batches, and in one batch as large as can be set."""
    for batch in (1_000, RefreshOptions(data.environment.options.mapping).batch_documents, _LARGEST_BATCH):
        data.scatter.change(min(10_000, data.counts.sales // 4))
        result = _run(data.environment, batch_documents=batch)
        report.add(_figure(f"memory of a refresh at {data.label}, batches of {batch:,}", result))


def measure_whole_batch(report: Report, data: Dataset) -> None:
    """Everything queued and applied in one batch as large as can be set: what bounds memory when nothing else does."""
    bench = data.environment
    bench.application.execute(
        "INSERT INTO salespulse.pending_document (document_kind, document_id, reason) "
        "SELECT document_kind, document_id, 'bench' FROM salespulse.fact_document"
    )
    result = _run(bench, batch_documents=_LARGEST_BATCH)
    report.add(_figure(f"memory where all of {data.label} is one batch ({result['documents']:,} documents)", result))


def _figure(name: str, result: dict[str, Any]) -> Figure:
    note = f"{result['before_mib']:.0f} MiB of it before the refresh began; {result['transactions']} transactions"
    return Figure(name, result["most_mib"], "MiB", bound=_LIMIT_MIB, note=note)


def _run(bench: Environment, *, batch_documents: int) -> dict[str, Any]:
    request = {
        "replica": bench.url("salespulse_reader", standby=True),
        "warehouse": bench.url("salespulse_pipeline"),
        "batch_documents": batch_documents,
    }
    bench.wait_for_replay()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.refresh.child"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    if done.returncode:
        raise RuntimeError(f"the refresh in its own process failed: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result
