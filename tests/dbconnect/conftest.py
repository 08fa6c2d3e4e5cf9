"""A small pair of servers with the schema in place, a heart that beats, and PgBouncer before both."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from dbconnect import Settings
from dbconnect.shared_router import _routers
from dbsql import query
from local_stack.account import server_account
from local_stack.credentials import Credentials, load_credentials
from local_stack.pgbouncer import Alias, Pooler, configure_pgbouncer, find_pgbouncer
from local_stack.ports import LOOPBACK, free_ports, is_free
from local_stack.postgres_cluster import server_url
from local_stack.waiting import wait_until
from pipelines.migrate import MIGRATION_SETS, migrate
from tests.servers.postgres import PostgresPair, PostgresServer

DATABASE = "shop"
DASHBOARD = "salespulse_dashboard"
PIPELINE = "salespulse_pipeline"
READER = "salespulse_reader"
MAX_CONNECTIONS = 50
TENANTS = 200


@dataclass
class Place:
    """The pair, and what its roles log in with. `standby` may be replaced by a test."""

    pair: PostgresPair
    credentials: Credentials

    def url(self, role: str, server: PostgresServer) -> str:
        return server.url(DATABASE, user=role, password=self.credentials.roles[role])

    def admin(self, server: PostgresServer | None = None) -> psycopg.Connection:
        return (server or self.pair.primary).connect(DATABASE)

    def settings(self, **changes: Any) -> Settings:
        """The dashboards' routes, direct to both servers; nothing is read from the environment."""
        values: dict[str, Any] = {
            "dashboard_url": self.url(DASHBOARD, self.pair.standby),
            "dashboard_fallback_url": self.url(DASHBOARD, self.pair.primary),
            "dashboard_pool_size": 4,
            "dashboard_fallback_pool_size": 2,
        }
        return Settings(_env_file=None, **(values | changes))


class Heart:
    """Beats on the primary twenty times a second, and goes on after an outage."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._has_beaten = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return when there is a beat of its own."""
        assert self._has_beaten.wait(30), "the primary does not answer"

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=2) as connection:
                    while not self._stop.is_set():
                        connection.execute(query("source.beat"))
                        self._has_beaten.set()
                        self._stop.wait(0.05)
            except psycopg.OperationalError:
                self._stop.wait(0.05)


@pytest.fixture(scope="session")
def place(server_directory: Callable[[str], Path]) -> Iterator[Place]:
    """A pair that takes 50 connections, migrated, with 200 tenants."""
    directory = server_directory("salespulse-connect")
    pair = PostgresPair.create(directory)
    try:
        # A standby that takes fewer than its primary does not start, so the primary goes first.
        pair.primary.restart(settings={"max_connections": str(MAX_CONNECTIONS)})
        pair.wait_for_replay()
        pair.standby.restart(settings={"max_connections": str(MAX_CONNECTIONS)})
        place = Place(pair, load_credentials(directory / "credentials.json"))
        pair.create_database(DATABASE)
        with place.admin() as connection:
            for migration_set in MIGRATION_SETS:
                migrate(connection, migration_set)
            for role in (DASHBOARD, PIPELINE, READER):
                login = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
                verifier = sql.Literal(place.credentials.verifier(role))
                connection.execute(login.format(sql.Identifier(role), verifier))
            connection.execute(
                "INSERT INTO salespulse.dim_tenant (tenant_id) SELECT 'tenant ' || n FROM generate_series(1, %s) AS n",
                (TENANTS,),
            )
        pair.wait_for_replay()
        yield place
    finally:
        pair.stop()


@pytest.fixture
def shared_routers() -> Iterator[None]:
    """Closes what `dbconnect.read_only` keeps open for the rest of the process."""
    yield
    _routers.close()


@pytest.fixture
def heart(place: Place) -> Iterator[Heart]:
    """Beats, and the standby has heard it."""
    it = Heart(place.url(PIPELINE, place.pair.primary))
    try:
        it.wait()
        place.pair.wait_for_replay()
        yield it
    finally:
        it.stop()


@dataclass(frozen=True)
class RunningPooler:
    """PgBouncer in transaction mode: 5 sessions to the primary, 10 to the standby."""

    credentials: Credentials
    port: int
    version: tuple[int, ...]

    def url(self, alias: str, role: str = DASHBOARD) -> str:
        return server_url(self.port, alias, role, self.credentials.roles[role])


@contextmanager
def run_pooler(place: Place, directory: Path, *, mode: str) -> Iterator[RunningPooler]:
    """Run PgBouncer; skips the test where it is not installed."""
    account = server_account()
    binary = find_pgbouncer(account)
    if binary is None:
        pytest.skip("PgBouncer is not installed: tests/install-debian-packages installs it as root")
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    account.chown(directory)
    port = free_ports(1)[0]
    aliases = (
        Alias("dashboard", place.pair.standby.port, DATABASE, pool_size=10),
        Alias("dashboard_fallback", place.pair.primary.port, DATABASE, pool_size=5),
    )
    pooler = Pooler("pooler", port, query_wait_timeout_s=20, aliases=aliases)
    config = configure_pgbouncer(directory / "pooler", pooler, place.credentials, account)
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("pool_mode = transaction", f"pool_mode = {mode}"), encoding="utf-8")
    setpriv = shutil.which("setpriv")
    tied = [setpriv, "--pdeathsig", "QUIT", "--"] if setpriv else []
    process = subprocess.Popen([*tied, str(binary), "-q", str(config)], cwd="/", **account.popen_options())
    try:
        wait_until(lambda: not is_free(port), timeout_s=10, what=f"PgBouncer on {LOOPBACK}:{port}")
        yield RunningPooler(place.credentials, port, tuple(int(part) for part in version.split(".")))
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def pooler(place: Place, server_directory: Callable[[str], Path]) -> Iterator[RunningPooler]:
    with run_pooler(place, server_directory("salespulse-pooler"), mode="transaction") as running:
        yield running
