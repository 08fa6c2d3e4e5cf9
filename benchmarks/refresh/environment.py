"""Start a durable primary and standby, with databases that have application, capture and warehouse."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from local_stack.waiting import wait_until
from pipelines.migrate import migrate
from pipelines.refresh import Connections, RefreshOptions, connect_route
from pipelines.source import install_source, load_mapping
from sample_app import install_application
from tests.servers.postgres import PostgresPair

# Durable, as in production: nothing is won by losing sales in a crash. The sizes leave room for other work on the machine.
SETTINGS: Mapping[str, str] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "effective_cache_size": "8GB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
}
ROLES = ("salespulse_reader", "salespulse_pipeline")


@dataclass
class Environment:
    """One database on the pair, and the connections that a refresh holds open.

    Attributes:
        pair: primary and standby.
        database: its name.
        passwords: role to password.
        application: as the application, to the primary; commits are not waited for, so that preparing changes is quick.
        connections: what `refresh` takes.
        options: the defaults.
    """

    pair: PostgresPair
    database: str
    passwords: Mapping[str, str] = field(repr=False)
    application: psycopg.Connection[Any]
    connections: Connections
    options: RefreshOptions

    def url(self, role: str, *, standby: bool = False) -> str:
        server = self.pair.standby if standby else self.pair.primary
        if role == "postgres":
            return server.url(self.database)
        return server.url(self.database, user=role, password=self.passwords[role])

    def wait_for_replay(self, *, timeout_s: float = 600) -> None:
        """Return when the standby shows everything that is committed now."""
        lsn = value(self.application, "SELECT pg_current_wal_insert_lsn()::text")
        with psycopg.connect(self.url("postgres", standby=True), autocommit=True) as standby:
            wait_until(
                lambda: value(standby, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn),
                timeout_s=timeout_s,
                what=f"the standby to replay up to {lsn}",
                every_s=0.005,
            )

    def settle(self) -> None:
        """Vacuum, checkpoint and wait for the standby: nothing that came before is paid for by what is measured next."""
        self.application.execute("VACUUM ANALYZE")
        self.checkpoint()

    def checkpoint(self) -> None:
        self.application.execute("CHECKPOINT")
        self.wait_for_replay()


@contextmanager
def running_pair() -> Iterator[PostgresPair]:
    """A primary and a standby of their own in a scratch directory that goes at the end."""
    directory = Path(tempfile.mkdtemp(prefix="salespulse-bench-"))
    directory.chmod(0o755)
    pair = None
    try:
        pair = PostgresPair.create(directory, settings=SETTINGS)
        yield pair
    finally:
        if pair is not None:
            pair.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def environment(pair: PostgresPair, database: str, *, capture: bool = True) -> Iterator[Environment]:
    """A fresh database with the application's schema, the migrations and (unless told otherwise) the capture."""
    pair.create_database(database)
    passwords = {role: secrets.token_urlsafe(24) for role in ROLES}
    mapping = load_mapping("retail")
    with ExitStack() as stack:
        stack.callback(pair.drop_database, database)
        admin = stack.enter_context(psycopg.connect(pair.primary.url(database), autocommit=True))
        install_application(admin)
        migrate(admin, "source")
        migrate(admin, "warehouse")
        if capture:
            install_source(admin, mapping)
        for role, password in passwords.items():
            admin.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), password))
        admin.execute("SELECT set_config('synchronous_commit', 'off', false)")
        bench = Environment(pair, database, passwords, admin, None, RefreshOptions(mapping))  # type: ignore[arg-type]
        bench.wait_for_replay()
        bench.connections = Connections(
            replica=stack.enter_context(connect_route(bench.url("salespulse_reader", standby=True), "replica")),
            warehouse=stack.enter_context(connect_route(bench.url("salespulse_pipeline"), "warehouse")),
            primary=stack.enter_context(connect_route(bench.url("salespulse_pipeline"), "primary")),
        )
        yield bench


def value(connection: psycopg.Connection[Any], query: str, *parameters: object) -> Any:
    """The first column of the first row."""
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return next(iter(row.values())) if isinstance(row, dict) else row[0]
