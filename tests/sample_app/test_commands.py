"""`salespulse load` and `salespulse traffic`, as a user types them."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dbconnect import SalespulseError
from dbsql import sql_root
from local_stack.ports import free_ports
from local_stack.waiting import wait_until
from salespulse.cli.load import load
from salespulse.cli.traffic import traffic
from sample_app import install_application
from sample_app.online_retail import DATA_FILE
from sample_app.synthetic import generate
from tests.servers import Database

_ROOT = sql_root().parent


@pytest.fixture
def some_lines(tmp_path: Path) -> Path:
    path = tmp_path / "some.parquet"
    pq.write_table(pq.read_table(DATA_FILE).slice(0, 2000), path)
    return path


@pytest.fixture
def runner(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.setenv("SALESPULSE_APPLICATION_URL", database.primary_url)
    monkeypatch.setenv("SALESPULSE_DATA_DIR", str(tmp_path / "no-stack"))
    return CliRunner()


def test_load_makes_the_schema_and_says_what_it_did(runner: CliRunner, some_lines: Path, database: Database) -> None:
    result = runner.invoke(load, ["retail", str(some_lines), "--json"], catch_exceptions=False)
    counts = json.loads(result.stdout)
    assert counts["lines"] == 2000
    with psycopg.connect(database.primary_url) as connection:
        assert connection.execute("SELECT count(*) FROM retail.sale_items").fetchone() == (counts["sale_lines"],)
    again = runner.invoke(load, ["retail", str(some_lines)])
    assert isinstance(again.exception, SalespulseError)
    assert "--replace" in str(again.exception)
    replaced = runner.invoke(load, ["retail", str(some_lines), "--replace"], catch_exceptions=False)
    assert "2,000 lines of" in replaced.stdout
    another = runner.invoke(load, ["retail", str(some_lines), "--tenant", "Two"], catch_exceptions=False)
    assert another.exit_code == 0


def test_load_without_a_server_says_so(monkeypatch: pytest.MonkeyPatch, some_lines: Path) -> None:
    monkeypatch.setenv("SALESPULSE_APPLICATION_URL", f"postgresql://x:secret@127.0.0.1:{free_ports(1)[0]}/x")
    result = CliRunner().invoke(load, ["retail", str(some_lines)])
    assert isinstance(result.exception, SalespulseError)
    assert "can't be reached" in str(result.exception)
    assert "secret" not in str(result.exception)


def test_traffic_ends_by_itself(runner: CliRunner, database: Database) -> None:
    with psycopg.connect(database.primary_url, autocommit=True) as connection:
        install_application(connection)
        generate(connection, tenants=1, sales=50)
    arguments = ["--rate", "50", "--seed", "4", "--for", "1.2", "--sessions", "2"]
    result = runner.invoke(traffic, arguments, catch_exceptions=False)
    assert "transactions in" in result.stdout
    assert "sale" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_traffic_cleanly(database: Database, number: signal.Signals) -> None:
    with psycopg.connect(database.primary_url, autocommit=True) as connection:
        install_application(connection)
        generate(connection, tenants=1, sales=50)
        command = [sys.executable, "-c", "from salespulse.cli.traffic import traffic; traffic()"]
        process = subprocess.Popen(
            [*command, "--rate", "40", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=_ROOT,
            env={"SALESPULSE_APPLICATION_URL": database.primary_url, "PATH": "", "PYTHONPATH": str(_ROOT)},
        )
        try:
            sales_of_traffic = "SELECT count(*) FROM retail.sales WHERE receipt_number LIKE 'T%'"
            wait_until(
                lambda: connection.execute(sales_of_traffic).fetchone() != (0,), timeout_s=20, what="the first sale"
            )
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
        finally:
            process.kill()
        assert (process.returncode, err) == (0, b"")
        assert json.loads(out)["transactions"] > 0
        open_sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'salespulse traffic'"
        assert connection.execute(open_sessions + " AND datname = current_database()").fetchone() == (0,)
