"""The generated sync router, and `dbconnect.read_only` on it."""

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

import dbconnect
from dbconnect import NoFreshServerError, SettingsError, TokenError, commit_token
from dbconnect.replica_guard import GuardLimits
from dbconnect.sync_router import SyncReadRouter
from local_stack.waiting import wait_until
from tests.dbconnect.conftest import PIPELINE, Heart, Place

pytestmark = pytest.mark.usefixtures("heart")
LIMITS = GuardLimits(max_staleness_s=1.0, check_valid_s=0.5)


@pytest.fixture
def notes(place: Place) -> Iterator[psycopg.Connection]:
    """A table to write to, and a connection to do so."""
    with place.admin() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS salespulse.note (number integer)")
        connection.execute("TRUNCATE salespulse.note")
        connection.execute("GRANT SELECT ON salespulse.note TO salespulse_dashboard")
        place.pair.wait_for_replay()
        yield connection


def newest(read: dbconnect.Read[Any]) -> int | None:
    row = read.connection.execute("SELECT max(number) AS newest FROM salespulse.note").fetchone()
    assert row is not None
    return row["newest"]


def test_reads_the_replica_and_ends_its_transaction(place: Place) -> None:
    with SyncReadRouter(place.settings()) as router:
        for _ in range(20):
            with router.read_only(tenant_key=3) as read:
                assert (read.server, read.is_stale, read.is_fallback) == ("replica", False, False)
                row = read.connection.execute("SELECT salespulse.current_tenant_key() AS key").fetchone()
                assert row == {"key": 3}
        with place.admin(place.pair.standby) as admin:
            states = admin.execute(
                "SELECT DISTINCT state FROM pg_stat_activity WHERE application_name = 'salespulse dashboard replica'"
            ).fetchall()
        assert states == [("idle",)]
        assert router.state().reads["fresh"] == 20


def test_a_token_shows_the_write_from_every_thread(place: Place, notes: psycopg.Connection) -> None:
    lock = threading.Lock()

    def write_and_read(number: int) -> bool:
        with lock:
            notes.execute("INSERT INTO salespulse.note VALUES (%s)", (number,))
            token = commit_token(notes)
        with router.read_only(token=token) as read:
            return (newest(read) or 0) >= number

    with SyncReadRouter(place.settings()) as router, ThreadPoolExecutor(8) as threads:
        assert all(threads.map(write_and_read, range(1, 201)))
        assert router.state().reads["fresh"] > 0


def test_a_token_goes_to_the_primary_when_the_replica_is_late_and_is_refused_past_the_budget(
    place: Place, notes: psycopg.Connection
) -> None:
    settings = place.settings(
        dashboard_fallback_reads_per_second=0.01, dashboard_fallback_burst=1, token_wait_seconds=0.02
    )
    limits = GuardLimits(max_staleness_s=60, check_valid_s=0.5)
    with SyncReadRouter(settings, limits=limits) as router:
        place.pair.standby.pause_replay()
        try:
            notes.execute("INSERT INTO salespulse.note VALUES (1)")
            token = commit_token(notes)
            with router.read_only(60, token) as read:
                assert (read.server, read.is_fallback, newest(read)) == ("primary", True, 1)
            with (
                pytest.raises(NoFreshServerError, match=r"as new as the token.*budget") as error,
                router.read_only(60, token),
            ):
                pass
            assert 1 <= error.value.retry_after_s <= 60
            with router.read_only(60) as read:
                assert (read.server, read.is_stale, newest(read)) == ("replica", False, None)
        finally:
            place.pair.standby.resume_replay()


def test_stale_data_are_marked_or_refused(place: Place, heart: Heart) -> None:
    settings = place.settings(dashboard_fallback_url=None, dashboard_max_staleness_seconds=0.2)
    with SyncReadRouter(settings, poll_every_s=0.05) as router:
        heart.stop()
        wait_until(lambda: router.state().servers[0].reason == "late", timeout_s=5, what="the ejection")
        with router.read_only() as read:
            assert read.is_stale
            assert read.staleness_s is not None
            assert read.staleness_s > 0.2
        with router.read_only(max_staleness_s=60) as read:
            assert not read.is_stale
        with pytest.raises(NoFreshServerError, match=r"at most 0.2 s old"), router.read_only(allow_stale=False):
            pass
        assert dict(router.state().reads) == {"fresh": 1, "fallback": 0, "stale": 1, "refused": 1}


def test_without_a_replica_the_primary_answers_within_the_budget(place: Place) -> None:
    settings = place.settings(dashboard_url=None, dashboard_fallback_reads_per_second=0.01, dashboard_fallback_burst=3)
    with SyncReadRouter(settings) as router:
        for _ in range(3):
            with router.read_only() as read:
                assert (read.server, read.is_fallback, read.staleness_s) == ("primary", True, 0.0)
        with pytest.raises(NoFreshServerError, match="the budget of reads is used up"), router.read_only():
            pass


def test_settings_without_any_server_are_refused(place: Place) -> None:
    with pytest.raises(SettingsError, match="SALESPULSE_DASHBOARD_URL is not set"):
        SyncReadRouter(place.settings(dashboard_url=None, dashboard_fallback_url=None))
    twice = [{"name": "replica", "url": place.url("salespulse_dashboard", place.pair.standby)}]
    with pytest.raises(SettingsError, match="each name once"):
        SyncReadRouter(place.settings(dashboard_replicas=twice))


def test_a_warehouse_without_a_heartbeat_is_judged_by_its_position(place: Place) -> None:
    place.pair.create_database("plain")
    with place.pair.primary.connect("plain") as admin:
        admin.execute("CREATE TABLE t AS SELECT 1 AS number")
        admin.execute("GRANT SELECT ON t TO public")
    place.pair.wait_for_replay()
    password = place.credentials.roles[PIPELINE]
    settings = place.settings(
        dashboard_url=place.pair.standby.url("plain", user=PIPELINE, password=password),
        dashboard_fallback_url=place.pair.primary.url("plain", user=PIPELINE, password=password),
        dashboard_fallback_reads_per_second=0,
    )
    with SyncReadRouter(settings, limits=LIMITS, poll_every_s=0.05) as router:
        wait_until(lambda: router.state().servers[0].is_usable, timeout_s=5, what="the replica to be admitted")
        with router.read_only() as read:
            assert read.server == "replica"
            assert read.staleness_s is not None
            assert read.staleness_s < 1
        place.pair.standby.pause_replay()
        try:
            with place.pair.primary.connect("plain") as admin:
                admin.execute("INSERT INTO t VALUES (2)")
            wait_until(lambda: not router.state().servers[0].is_usable, timeout_s=5, what="the ejection")
            with router.read_only() as read:
                assert read.is_stale
        finally:
            place.pair.standby.resume_replay()


@pytest.mark.parametrize("text", ["", "x", "AAAAAAAAAAAAAAAAAA", "AQAAAAEAAAAAAAAAAA===", "é", "A" * 1000])
def test_a_foreign_token_is_refused(place: Place, text: str) -> None:
    with SyncReadRouter(place.settings()) as router, pytest.raises(TokenError), router.read_only(token=text):
        pass


def _read_in_a_child(settings: dbconnect.Settings, answers: Any) -> None:
    with dbconnect.read_only(settings=settings) as read:
        answers.put(read.server)


@pytest.mark.usefixtures("shared_routers")
def test_read_only_without_a_router_also_after_a_fork(place: Place) -> None:
    settings = place.settings()
    with dbconnect.read_only(max_staleness_s=2.0, settings=settings) as read:
        assert read.server == "replica"
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_read_in_a_child, args=(settings, answers))
    child.start()
    assert answers.get(timeout=20) == "replica"
    child.join(timeout=20)
    assert child.exitcode == 0
    with dbconnect.read_only(settings=settings) as read:
        assert read.server == "replica"
