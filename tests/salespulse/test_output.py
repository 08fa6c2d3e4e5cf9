"""What commands print at 80 and 200 columns, and in a pipe: nothing is cut, and people read words and ages."""

import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from background_jobs.store import Job, JobState
from salespulse.cli.jobs import _facts
from salespulse.cli.output import age, duration
from salespulse.cli.status import _freshness, _refresh

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
# A status's widest table beside a list with a URL.
PRINT_TABLES = """
from datetime import UTC, datetime, timedelta
from salespulse.cli.output import print_facts, print_table
at = datetime.now(UTC) - timedelta(seconds=12.4)
print_table([{"refresh": 123456, "finished": at, "took": "1.2 s", "documents": 1234567, "rows": 12}], title="last refreshes")
print_table([{"id": 7, "tenant": "Online Retail", "url": "https://hooks.example.com/" + "x" * 120, "state": "enabled"}])
print_facts({"data as of": at, "nothing": None, "watermark": "[red]123:456:"})
"""


def printed_by(arguments: list[str], *, columns: int | None, **variables: str) -> str:
    """The output of a Python process, in a terminal of that width or a pipe (None)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    if columns is None:
        return subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=True, env=environment
        ).stdout
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=writer, env={**environment, "COLUMNS": str(columns), "TERM": "dumb"}
    )
    os.close(writer)
    chunks = []
    while True:
        try:
            chunk = os.read(reader, 65536)
        except OSError:  # Linux's way to end a terminal
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(reader)
    assert process.wait() == 0
    return b"".join(chunks).decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [80, 200, None])
def test_tables_are_whole_at_every_width(columns: int | None) -> None:
    text = printed_by(["-c", PRINT_TABLES], columns=columns)
    assert "…" not in text
    assert text.count("x") >= 120
    assert all(word in text for word in ("finished", "documents", "12 s ago", "1,234,567", "[red]123:456:"))
    assert "nothing" not in text
    widest = max(map(len, text.splitlines()))
    if columns is None:
        assert "x" * 120 in text
    else:
        assert widest <= columns


@pytest.mark.parametrize("columns", [80, 200, None])
def test_settings_are_whole_and_grouped_and_masked(columns: int | None, tmp_path: Path) -> None:
    text = printed_by(
        ["-c", "from salespulse.cli import main; main(['settings'])"],
        columns=columns,
        SALESPULSE_DATA_DIR=str(tmp_path),
        SALESPULSE_ADMIN_URL="postgresql://owner@db.example.com/shop?password=s3cret&sslmode=require",
    )
    assert "SALESPULSE_ADMIN_URL=postgresql://owner:***@db.example.com/shop?sslmode=require  (environment)" in text
    assert "SALESPULSE_DASHBOARD_FALLBACK_READS_PER_SECOND=20.0  (default)" in text
    assert [line for line in text.splitlines() if line and not line.startswith(" ")] == [
        "Servers", "Refresh", "Dashboards", "Background jobs", "Exports", "Webhooks", "Tokens",
    ]  # fmt: skip
    assert "s3cret" not in text
    assert "…" not in text.replace("(RS256, ES256, …)", "").replace('"name": …, "url": …, "direct_url": …', "").replace(
        "1}, …]", ""
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (60, "1 min"), (3601, "1 h"), (11_530, "3 h 12 min"), (90_000, "1 d 1 h")],
)  # fmt: skip
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text
    assert age(NOW - timedelta(seconds=seconds), now=lambda: NOW) == f"{text} ago"


def test_a_moment_to_come_and_none() -> None:
    assert age(NOW + timedelta(minutes=5), now=lambda: NOW) == "in 5 min"
    assert age(None) == "-"


def test_status_speaks_in_words() -> None:
    values = {
        "as_of": None, "pending_changes": 1200, "queued_documents": 0, "quarantined_documents": 3, "watermark": "1:2:",
        "replica_lag_bytes": 4096, "replica_lag_s": 0.25, "reads_a_replica": True,
    }  # fmt: skip
    assert _freshness(values) == {
        "data as of": "no refresh yet",
        "not applied yet": "1,200 changes, 0 queued documents",
        "in quarantine": "3 documents",
        "reads": "the replica",
        "replica lag": "4,096 bytes, 0.2 s",
        "watermark": "1:2:",
    }
    row = {"refresh_id": 5, "started_at": NOW, "finished_at": None, "changed_documents": 1, "rows_written": 2}
    assert _refresh(row) == {"refresh": 5, "finished": "-", "took": "-", "documents": 1, "rows": 2}


def test_a_job_is_shown_in_words() -> None:
    job = Job(
        id="j", kind="export_sales_report", tenant="t", subject="s", params={"format": "csv", "stores": ["a"]},
        state=JobState.RUNNING, attempt=1, max_attempts=3, seq=4, priority=0, created_ms=1_000, available_ms=1_000,
        percent=45.4, step="writing", counts={"rows": 12},
    )  # fmt: skip
    facts = {name: value for name, value in _facts(job).items() if value not in (None, "")}
    assert facts == {
        "job": "j",
        "kind": "export_sales_report",
        "tenant": "t",
        "submitted by": "s",
        "state": "running",
        "progress": "45 %, writing",
        "counts": "rows = 12",
        "attempt": "1 of 3",
        "submitted": datetime.fromtimestamp(1, UTC),
        "parameters": 'format = csv, stores = ["a"]',
    }
