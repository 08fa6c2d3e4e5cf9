"""PostgreSQL servers as children of this process, for tests and benchmarks, on the clusters of `local_stack`."""

import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from local_stack.errors import StackError
from local_stack.ports import free_ports
from local_stack.postgres_binaries import Binaries, find_binaries
from local_stack.postgres_cluster import STANDBY_SLOT, Cluster, Passwords
from local_stack.processes import kill_all, process_tree, signalled_with_parent
from local_stack.waiting import wait_until

# For tests and throw-away clusters: the data survive a crash of the server, not of the operating system.
UNSAFE_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "30min",
}


class PostgresServer:
    """One server, running or not. On Linux it ends with the process that started it, even if that is killed."""

    def __init__(self, cluster: Cluster, *, log: Path, primary: "PostgresServer | None" = None, slot: str = "") -> None:
        self.cluster = cluster
        self.log = log
        self._primary = primary
        self.slot = slot
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The TCP port on the loopback interface; it stays the same over restarts."""
        return self.cluster.port

    def url(self, database: str = "postgres", *, user: str = "postgres", password: str | None = None) -> str:
        """Return a libpq URL, of the superuser unless a role and its password are given."""
        return self.cluster.url(database, user=user, password=password)

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Return a new autocommit connection as the superuser."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)

    def start(self, *, wait: bool = True, settings: Mapping[str, str] | None = None) -> None:
        """Start the server; from now on `settings` override its own.

        Raises:
            StackError: it ended at once, or is not ready within a minute; the message ends with its log.
        """
        self.cluster = replace(self.cluster, settings={**self.cluster.settings, **(settings or {})})
        self.cluster.clear_stale_pid_file()
        primary = self._primary.cluster if self._primary is not None else None
        self.cluster.configure(primary=primary, slot=self.slot)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*signalled_with_parent("QUIT"), *self.cluster.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                **self.cluster.binaries.account.popen_options(),
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, *, timeout_s: float = 60) -> None:
        """Return when the server answers queries."""
        wait_until(self._answers, timeout_s=timeout_s, what=lambda: f"PostgreSQL to answer: {self._log_end()}")

    def is_running(self) -> bool:
        """Whether the server process lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; `fast` rolls back what is open, `immediate` recovers at the next start."""
        if self._process is None:
            return
        self._process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "smart": signal.SIGTERM}[mode])
        self._process.wait(timeout=60)
        self._process = None

    def kill9(self) -> None:
        """Kill the server and all its backends with SIGKILL, as a crash of the machine would."""
        if self._process is None:
            return
        members = process_tree(psutil.Process(self._process.pid))
        kill_all(members)
        self._process.wait(timeout=60)
        self._process = None

    def restart(self, *, settings: Mapping[str, str] | None = None) -> None:
        """Stop and start."""
        self.stop()
        self.start(settings=settings)

    def promote(self) -> None:
        """Promote a standby to a primary on a new timeline; return when it accepts writes."""
        with self.connect() as connection:
            connection.execute("SELECT pg_promote(true, 60)")
        self._primary = None

    def follow(self, primary: "PostgresServer") -> None:
        """Start a stopped standby behind another primary, which must have its slot."""
        self._primary = primary
        self.start()

    def pause_replay(self) -> None:
        """Stop applying WAL on a standby, which still receives it; return when the pause is in force."""
        with self.connect() as connection:
            connection.execute("SELECT pg_wal_replay_pause()")
            wait_until(
                lambda: _value(connection, "SELECT pg_get_wal_replay_pause_state()") == "paused",
                timeout_s=30,
                what="WAL replay to pause",
                every_s=0.005,
            )

    def resume_replay(self) -> None:
        """Apply WAL again on a standby."""
        with self.connect() as connection:
            connection.execute("SELECT pg_wal_replay_resume()")

    def drop_data(self) -> None:
        """Kill the server and delete its data directory."""
        self.kill9()
        shutil.rmtree(self.cluster.directory, ignore_errors=True)

    def _answers(self) -> bool:
        if not self.is_running():
            raise StackError(f"PostgreSQL ended: {self._log_end()}")
        try:
            with self.connect() as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _log_end(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-1500:] if self.log.exists() else "no log"


class PostgresPair:
    """A primary, its streaming standby, and further standbys, under one directory."""

    def __init__(self, directory: Path, primary: PostgresServer, standby: PostgresServer) -> None:
        self.directory = directory
        self.primary = primary
        self.standby = standby
        self.standbys = [standby]

    @classmethod
    def create(
        cls, directory: Path, *, settings: Mapping[str, str] | None = None, binaries: Binaries | None = None
    ) -> "PostgresPair":
        """Create and start a pair in an existing directory that the servers' account can enter.

        Args:
            directory: becomes the account's own.
            settings: override `BASE_SETTINGS`; `UNSAFE_SETTINGS` (no fsync) by default.
            binaries: the wheel's by default.
        """
        binaries = binaries or find_binaries()
        binaries.account.chown(directory)
        if not binaries.account.can_reach(directory):
            raise StackError(f"the account {binaries.account.name} can't enter {directory}: choose another directory")
        server_settings = dict(UNSAFE_SETTINGS if settings is None else settings)
        passwords = Passwords(secrets.token_urlsafe(24), secrets.token_urlsafe(24))
        ports = free_ports(2)
        clusters = [
            Cluster(binaries, directory / name, port, passwords, server_settings)
            for name, port in zip(("primary", "standby"), ports, strict=True)
        ]
        clusters[0].create_primary()
        clusters[1].copy_standby(clusters[0])
        primary = PostgresServer(clusters[0], log=directory / "primary.log")
        standby = PostgresServer(clusters[1], log=directory / "standby.log", primary=primary, slot=STANDBY_SLOT)
        pair = cls(directory, primary, standby)
        primary.start(wait=False)
        standby.start(wait=False)
        primary.wait_until_ready()
        standby.wait_until_ready()
        return pair

    def add_standby(self, name: str) -> PostgresServer:
        """Clone a further standby from the running primary and start it; `name` is also its slot's."""
        with self.primary.connect() as connection:
            connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", (name,))
        cluster = replace(self.standby.cluster, directory=self.directory / name, port=free_ports(1)[0])
        cluster.create_standby(self.primary.cluster, slot=name)
        server = PostgresServer(cluster, log=self.directory / f"{name}.log", primary=self.primary, slot=name)
        server.start()
        self.standbys.append(server)
        return server

    def remove_standby(self, server: PostgresServer) -> None:
        """Stop a standby, delete its data and free its slot."""
        server.drop_data()
        self.standbys.remove(server)
        with self.primary.connect() as connection:
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active",
                (server.slot,),
            )

    def wait_for_replay(self, standby: PostgresServer | None = None, *, timeout_s: float = 30) -> None:
        """Return when the standby has applied everything that is committed on the primary now."""
        with self.primary.connect() as primary, (standby or self.standby).connect() as replica:
            target = _value(primary, "SELECT pg_current_wal_flush_lsn()::text")
            wait_until(
                lambda: _value(replica, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", target),
                timeout_s=timeout_s,
                what=f"the standby to replay up to {target}",
                every_s=0.003,
                progress=lambda: _value(replica, "SELECT pg_last_wal_replay_lsn()"),
            )

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """Create a database and wait until the standby has it."""
        with self.primary.connect() as connection:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        if self.standby.is_running():
            self.wait_for_replay()

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the sessions in it."""
        with self.primary.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def stop(self) -> None:
        """Kill every server, and delete the data."""
        for server in (*self.standbys, self.primary):
            server.drop_data()


def _value(connection: psycopg.Connection, query: str, *parameters: object) -> object:
    row = connection.execute(query.encode(), parameters).fetchone()
    return None if row is None else row[0]
