"""Live traffic on a real server: what the report says is what the tables hold, and faults do not end it."""

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
import pytest

from local_stack.ports import free_ports
from local_stack.waiting import wait_until
from sample_app import TrafficError, install_application
from sample_app.synthetic import generate
from sample_app.traffic import TrafficReport, run_traffic
from sample_app.traffic_operations import OPERATIONS
from sample_app.traffic_plan import WEIGHTS, plan
from tests.servers import Database

_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.primary_url, autocommit=True) as connection:
        install_application(connection)
        yield connection


@pytest.fixture
def shops(connection: psycopg.Connection) -> psycopg.Connection:
    generate(connection, tenants=3, sales=600, products=20, customers=20)
    return connection


def _until(done: Callable[[TrafficReport], bool], stop: threading.Event) -> Callable[[TrafficReport], None]:
    def progress(report: TrafficReport) -> None:
        if done(report):
            stop.set()

    return progress


def _one(connection: psycopg.Connection, query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_what_is_reported_is_what_the_tables_hold(shops: psycopg.Connection, database: Database) -> None:
    stop = threading.Event()
    report = run_traffic(
        database.primary_url,
        rate_per_s=400,
        seed=7,
        sessions=4,
        stop=stop,
        progress=_until(lambda report: report.transactions >= 600, stop),
    )
    assert set(report.counts) == set(OPERATIONS)
    assert report.rolled_back > 0
    assert report.held_open > 0
    assert report.savepoints > 0
    assert report.lost_connections == 0
    new_sales = sum(report.counts[kind] for kind in ("sale", "late_sale_of_yesterday", "late_sale_of_last_month"))
    # What was rolled back, whole or to a savepoint, has left nothing.
    assert _one(shops, "SELECT count(*) FROM retail.sales") == 600 + new_sales - report.counts["delete_sale"]
    late = _one(
        shops,
        "SELECT count(*) FROM retail.sales WHERE receipt_number LIKE 'T%' AND sold_at < now() - interval '20 days'",
    )
    assert 0 < int(str(late)) <= report.counts["late_sale_of_last_month"]
    assert _one(shops, "SELECT count(*) FROM retail.payments p JOIN retail.sales s ON s.id = p.sale_id") != 0
    assert shops.execute(_SESSIONS, ("salespulse traffic",)).fetchall() == []
    elsewhere = (
        "SELECT count(*) FROM retail.sales s JOIN retail.stores t ON t.id = s.store_id WHERE s.tenant_id <> t.tenant_id"
    )
    assert _one(shops, elsewhere) == 0


def test_the_rate_is_kept(shops: psycopg.Connection, database: Database) -> None:
    stop = threading.Event()
    progress = _until(lambda report: report.seconds >= 2, stop)
    report = run_traffic(database.primary_url, rate_per_s=30, seed=1, sessions=3, stop=stop, progress=progress)
    # Transactions still waiting for their moment when the stop came are not made up for.
    assert 30 * (report.seconds - 1.5) <= report.transactions <= 30 * report.seconds + 3


def test_the_plan_follows_from_the_seed() -> None:
    plans = [plan(5, number) for number in range(3000)]
    again = [plan(5, number) for number in range(3000)]
    assert [(p.kinds, p.held_s, p.random.random()) for p in plans] == [
        (p.kinds, p.held_s, p.random.random()) for p in again
    ]
    assert [p.kinds for p in plans] != [plan(6, number).kinds for number in range(3000)]
    counts = Counter(itertools.chain.from_iterable(p.kinds for p in plans))
    assert set(counts) == set(WEIGHTS) == set(OPERATIONS)
    assert 0.4 < counts["sale"] / counts.total() < 0.52
    assert all(2 <= p.held_s <= 6 for p in plans if p.held_s)


def test_lost_connections_are_made_anew_and_said(
    shops: psycopg.Connection, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()
    reports: list[TrafficReport] = []
    at_cut: list[int] = []

    def progress(report: TrafficReport) -> None:
        reports.append(report)
        if not at_cut:
            at_cut.append(report.transactions)
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'salespulse traffic'"
            shops.execute(cut + " AND datname = current_database()")
        elif report.lost_connections >= 2 and report.transactions > at_cut[0] + 20:
            stop.set()

    with caplog.at_level(logging.WARNING, logger="sample_app.traffic"):
        report = run_traffic(database.primary_url, rate_per_s=60, seed=2, sessions=2, stop=stop, progress=progress)
    assert report.lost_connections >= 2
    assert "connects again in" in caplog.text


def test_stop_ends_held_transactions_at_once(shops: psycopg.Connection, database: Database) -> None:
    stop = threading.Event()
    done: list[TrafficReport] = []
    number_held = next(number for number in range(1000) if plan(3, number).held_s > 0)
    thread = threading.Thread(
        target=lambda: done.append(run_traffic(database.primary_url, rate_per_s=200, seed=3, sessions=2, stop=stop))
    )
    thread.start()
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'salespulse traffic'"
        " AND state = 'idle in transaction' AND now() - state_change > interval '300 ms' AND datname = current_database()"
    )
    wait_until(lambda: _one(shops, waiting) != 0, timeout_s=number_held / 200 + 20, what="a transaction held open")
    stop.set()
    thread.join(timeout=3)
    assert not thread.is_alive()
    assert done[0].held_open >= 1


def test_without_a_store_there_is_no_traffic(connection: psycopg.Connection, database: Database) -> None:
    with pytest.raises(TrafficError, match="no store to sell in"):
        run_traffic(database.primary_url, rate_per_s=50, seed=1, sessions=2, stop=threading.Event())


def test_without_the_tables_the_statement_is_named(database: Database) -> None:
    with pytest.raises(TrafficError, match=r"a statement failed: .*retail"):
        run_traffic(database.primary_url, rate_per_s=50, seed=1, sessions=1, stop=threading.Event())


def test_a_standby_is_refused(database: Database, shops: psycopg.Connection) -> None:
    del shops
    database.pair.wait_for_replay()
    with pytest.raises(TrafficError, match="read-only"):
        run_traffic(database.standby_url, rate_per_s=50, seed=1, sessions=1, stop=threading.Event())


@pytest.mark.parametrize(("rate", "sessions"), [(0, 1), (-5, 1), (10, 0)])
def test_numbers_that_make_no_traffic_are_refused(rate: float, sessions: int) -> None:
    with pytest.raises(TrafficError, match="a rate above 0"):
        run_traffic("postgresql://localhost", rate_per_s=rate, seed=1, sessions=sessions, stop=threading.Event())


def test_a_server_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(TrafficError, match="can't be reached"):
        run_traffic(
            f"postgresql://nobody@127.0.0.1:{free_ports(1)[0]}/x",
            rate_per_s=1,
            seed=1,
            sessions=1,
            stop=threading.Event(),
        )
