"""PostgreSQL data directories of a primary and its standby.

A cluster is made in a draft directory, which is renamed when it is complete. What may change between two starts (ports,
sizes) is in a file that is written before each.
"""

import itertools
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from local_stack.errors import StackError
from local_stack.paths import write_private
from local_stack.ports import LOOPBACK
from local_stack.postgres_binaries import Binaries, clone_template
from local_stack.processes import has_ended

SUPERUSER = "postgres"
REPLICATION_ROLE = "salespulse_replication"

# The slot that every new primary has; further standbys bring their own.
STANDBY_SLOT = "standby"

_OWN_FILE = "salespulse.conf"
_PID_FILE = "postmaster.pid"

# Generated passwords need no quoting: their alphabet is URL-safe. Single-user mode takes one statement per line.
_BOOTSTRAP = """\
ALTER ROLE {superuser} PASSWORD '{superuser_password}';
CREATE ROLE {replication} LOGIN REPLICATION PASSWORD '{replication_password}';
SELECT pg_create_physical_replication_slot('{slot}', true);
"""

_HBA = """\
# TYPE  DATABASE     USER  ADDRESS       METHOD
host    all          all   127.0.0.1/32  scram-sha-256
host    replication  {replication}  127.0.0.1/32  scram-sha-256
"""

# One call for a whole file system, which is Linux's alone.
SYNC_METHOD = "syncfs" if sys.platform == "linux" else "fsync"

BASE_SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "hot_standby_feedback": "on",
    "recovery_init_sync_method": SYNC_METHOD,
    "max_connections": "120",
    "max_prepared_transactions": "20",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    # A slot keeps a stopped standby able to catch up; the bound keeps it from filling the disk.
    "max_slot_wal_keep_size": "4GB",
    "wal_receiver_status_interval": "1s",
    # How soon a standby connects again after its primary went away; the default of 5 s is most of a restart.
    "wal_retrieve_retry_interval": "200ms",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


@dataclass(frozen=True)
class Passwords:
    """The passwords of the cluster's two built-in roles."""

    superuser: str = field(repr=False)
    replication: str = field(repr=False)


def server_url(port: int, database: str, user: str, password: str) -> str:
    """Return a libpq URL of a server on the loopback interface."""
    return (
        f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{LOOPBACK}:{port}/{quote(database, safe='')}"
    )


@dataclass(frozen=True)
class Cluster:
    """One data directory, and how its server runs. A file in the directory makes it a standby."""

    binaries: Binaries
    directory: Path
    port: int
    passwords: Passwords
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether the data directory was made (it is whole then)."""
        return (self.directory / "PG_VERSION").exists()

    @property
    def is_standby(self) -> bool:
        """Whether the server will come up in recovery, following a primary."""
        return (self.directory / "standby.signal").exists()

    def command(self) -> list[str]:
        """The server in the foreground."""
        return [str(self.binaries.program("postgres")), "-D", str(self.directory)]

    def url(self, database: str = "postgres", *, user: str = SUPERUSER, password: str | None = None) -> str:
        """Return a libpq URL, of the superuser unless another role is named."""
        return server_url(self.port, database, user, self.passwords.superuser if password is None else password)

    def create_primary(self) -> None:
        """Make the data directory from the template, with this cluster's own passwords.

        Raises:
            StackError: a program failed.
        """
        draft = self._draft()
        clone_template(self.binaries, draft)
        self._write_access(draft)
        bootstrap = _BOOTSTRAP.format(
            superuser=SUPERUSER,
            superuser_password=self.passwords.superuser,
            replication=REPLICATION_ROLE,
            replication_password=self.passwords.replication,
            slot=STANDBY_SLOT,
        )
        # Single-user mode: no server listens before its passwords are set.
        single = [self.binaries.program("postgres"), "--single", "-D", draft, "postgres"]
        self.binaries.account.run(single, stdin=bootstrap)
        self._finish(draft)

    def create_standby(self, primary: "Cluster", *, slot: str) -> None:
        """Make the data directory from a running primary whose replication slot `slot` exists.

        Raises:
            StackError: the primary does not answer, or a program failed.
        """
        draft = self._draft()
        base_backup = [
            self.binaries.program("pg_basebackup"),
            f"--dbname={primary.replication_conninfo()}",
            f"--pgdata={draft}",
            f"--slot={slot}",
            "--checkpoint=fast",
            "--wal-method=stream",
            "--no-sync",
        ]
        self.binaries.account.run(base_backup, environment={"PGPASSWORD": primary.passwords.replication})
        self._finish_standby(draft)

    def copy_standby(self, primary: "Cluster") -> None:
        """Make the data directory by copying that of a stopped primary: far faster than `create_standby`."""
        draft = self._draft()
        self.binaries.account.run(["cp", "-R", "-p", primary.directory, draft])
        (draft / _PID_FILE).unlink(missing_ok=True)
        # The primary's slots would hold back WAL here for ever.
        for slot in (draft / "pg_replslot").iterdir():
            shutil.rmtree(slot)
        self._finish_standby(draft)

    def configure(self, *, primary: "Cluster | None" = None, slot: str | None = None) -> None:
        """Write the settings of the next start; with `primary`, also how to follow it (its port may have changed)."""
        lines = {**BASE_SETTINGS, **self.settings, "port": str(self.port)}
        if primary is not None:
            lines["primary_conninfo"] = f"{primary.replication_conninfo()} password={primary.passwords.replication}"
            lines["primary_slot_name"] = slot or ""
        text = "".join(f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in lines.items())
        write_private(self.directory / _OWN_FILE, text, owner=self.binaries.account)

    def clear_stale_pid_file(self) -> None:
        """Remove a `postmaster.pid` whose number, after a reboot, belongs to a process that is no server of this directory.

        PostgreSQL does so itself where no process has that number, once the dead server's backends are gone.

        Raises:
            StackError: the server of this directory is running.
        """
        pid_file = self.directory / _PID_FILE
        try:
            pid = int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            pid = 0
        if pid and has_ended(pid):
            return
        if pid and _is_server_of(pid, self.directory):
            raise StackError(f"a PostgreSQL server (pid {pid}) already runs on {self.directory}")
        pid_file.unlink(missing_ok=True)

    def replication_conninfo(self) -> str:
        """Return how a standby connects to this cluster, without the password."""
        return f"host={LOOPBACK} port={self.port} user={REPLICATION_ROLE} application_name=standby"

    def _draft(self) -> Path:
        parent = self.directory.parent
        for leftover in parent.glob(f".{self.directory.name}.*"):
            shutil.rmtree(leftover)
        if self.directory.exists():
            raise StackError(f"{self.directory} exists already")
        return parent / f".{self.directory.name}.{secrets.token_hex(4)}"

    def _finish(self, draft: Path) -> None:
        if {**BASE_SETTINGS, **self.settings}.get("fsync", "on") == "on":
            sync = [self.binaries.program("initdb"), "--sync-only", f"--sync-method={SYNC_METHOD}", f"--pgdata={draft}"]
            self.binaries.account.run(sync)
        draft.rename(self.directory)

    def _write_access(self, directory: Path) -> None:
        account = self.binaries.account
        write_private(directory / "pg_hba.conf", _HBA.format(replication=REPLICATION_ROLE), owner=account)
        main = directory / "postgresql.conf"
        text = main.read_text(encoding="utf-8") + f"\ninclude_if_exists = '{_OWN_FILE}'\n"
        write_private(main, text, owner=account)

    def _finish_standby(self, draft: Path) -> None:
        write_private(draft / "standby.signal", "", owner=self.binaries.account)
        self._finish(draft)


def _is_server_of(pid: int, directory: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return "postgres" in process.name() and str(directory) in process.cmdline()
    except psutil.Error:
        return False


def create_clusters(primary: Cluster, standby: Cluster, *, log: Callable[[str], object]) -> None:
    """Make the data directories that are missing, and write both servers' settings.

    A standby of a primary that has run before is left to `repair_standby`, which needs the primary running.
    """
    if not primary.exists:
        log("initialising PostgreSQL")
        shutil.rmtree(standby.directory, ignore_errors=True)
        primary.create_primary()
        standby.copy_standby(primary)
    primary.configure()
    if standby.exists:
        standby.configure(primary=primary, slot=STANDBY_SLOT)


def repair_standby(
    primary: Cluster, standby: Cluster, *, stop: Callable[[], object], log: Callable[[str], object]
) -> None:
    """Clone the standby from the running primary if it is missing, was promoted, or fell behind its slot.

    A promoted standby's data are set aside, not deleted: somebody may have written to it.

    Args:
        primary: a running server.
        standby: its standby, running or not.
        stop: stops the standby.
        log: called with a line for each step.

    Raises:
        StackError: a program failed.
    """
    with psycopg.connect(primary.url(), autocommit=True) as connection:
        slot = connection.execute(
            "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", (STANDBY_SLOT,)
        ).fetchone()
        is_lost = slot is None or slot[0] == "lost"
        if standby.exists and standby.is_standby and not is_lost:
            return
        stop()
        if standby.exists and not standby.is_standby:
            target = _unused_name(standby.directory)
            standby.directory.rename(target)
            log(f"the standby had been promoted; its data are set aside in {target}")
        else:
            shutil.rmtree(standby.directory, ignore_errors=True)
        if slot is not None:
            connection.execute("SELECT pg_drop_replication_slot(%s)", (STANDBY_SLOT,))
        connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", (STANDBY_SLOT,))
    log("cloning the standby from the primary")
    standby.create_standby(primary, slot=STANDBY_SLOT)
    standby.configure(primary=primary, slot=STANDBY_SLOT)


def _unused_name(directory: Path) -> Path:
    names = (directory.with_name(f"{directory.name}.promoted-{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())
