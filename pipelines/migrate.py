"""Forward migrations of `dbsql/migrations/` and the functions of `dbsql/functions/`. No Dagster.

Two sets: `source` goes to the primary, beside the application; `warehouse` to the warehouse (the same server by
default). Each migration is applied once, in the order of its number, and its text is pinned by a checksum: an applied
file that was edited later is refused, because nobody could say what the database has. The files of functions belong to
the warehouse and are repeatable: each is applied after the migrations whenever its text differs from the applied one.
All of a set is one transaction.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from dbconnect import Settings
from dbconnect.errors import SalespulseError, UnavailableError
from dbsql import query, sql_root

__all__ = ["MIGRATION_SETS", "MigrationError", "applied_migrations", "migrate", "migrate_all", "pending_migrations"]

MIGRATION_SETS = ("source", "warehouse")


class MigrationError(SalespulseError):
    """A migration can't be applied; nothing of it was."""


# What the history calls a file of functions begins with this.
_FUNCTIONS = "functions/"
# Checksums of released texts that a migration no longer has, where a later file brings both to the same schema.
_FORMER_CHECKSUMS = {
    # It created the functions that are in dbsql/functions/ now; 0023 drops those.
    "0013_dashboard_figures": "d0975877163b543d3d1b82459d60280a7fd79b29c2dcef06ba2841c0cb9eb9c1",
}


@dataclass(frozen=True)
class _SqlFile:
    name: str
    path: str
    text: LiteralString
    checksum: str


def _load_files(folder: str, pattern: str, prefix: str = "") -> list[_SqlFile]:
    files = []
    for path in sorted((sql_root() / folder).glob(pattern)):
        text = path.read_text(encoding="utf-8")
        # From this project's own files: what LiteralString stands for.
        checksum = hashlib.sha256(text.encode()).hexdigest()
        files.append(_SqlFile(f"{prefix}{path.stem}", f"dbsql/{folder}/{path.name}", text, checksum))
    return files


def applied_migrations(connection: psycopg.Connection[Any], migration_set: str) -> dict[str, str]:
    """Return the applied files of a set, name to checksum; empty where none ever was."""
    exists = connection.execute(query("migrate.history_exists")).fetchone()
    if exists is None or not exists[0]:
        return {}
    return dict(connection.execute(query("migrate.read_history"), {"migration_set": migration_set}).fetchall())


def pending_migrations(connection: psycopg.Connection[Any], migration_set: str) -> list[str]:
    """Return the names of the files that are not applied yet, in order: migrations, then functions.

    Raises:
        MigrationError: an applied file was changed since, or the database has one that this version does not know.
    """
    return [file.name for file in _pending(connection, migration_set)]


def _pending(connection: psycopg.Connection[Any], migration_set: str) -> list[_SqlFile]:
    migrations = _load_files(f"migrations/{migration_set}", "[0-9][0-9][0-9][0-9]_*.sql")
    functions = _load_files("functions", "*.sql", _FUNCTIONS) if migration_set == "warehouse" else []
    applied = applied_migrations(connection, migration_set)
    # A file of functions may be renamed or go: a migration drops the functions that nobody calls any more.
    applied_migration_names = {name for name in applied if not name.startswith(_FUNCTIONS)}
    unknown = sorted(applied_migration_names - {migration.name for migration in migrations})
    if unknown:
        raise MigrationError(
            f"the database has the {migration_set} migration {unknown[0]}, which this version of salespulse does not "
            "know: install the newer version that applied it"
        )
    for migration in migrations:
        accepted = (None, migration.checksum, _FORMER_CHECKSUMS.get(migration.name))
        if applied.get(migration.name) not in accepted:
            raise MigrationError(
                f"{migration.path} was changed after it had been applied: "
                "restore its text and put the change into a new file"
            )
    pending = [migration for migration in migrations if migration.name not in applied]
    return pending + [file for file in functions if applied.get(file.name) != file.checksum]


def migrate(connection: psycopg.Connection[Any], migration_set: str) -> list[str]:
    """Apply the pending migrations of a set, then the functions whose text is new; return the names of the files.

    Args:
        connection: autocommit, as a role that may create schemas and roles, direct (not through a pooler).
        migration_set: `source` or `warehouse`.

    Raises:
        MigrationError: a migration was edited after it ran, or a statement failed (nothing is applied).
    """
    applied_names = []
    with connection.transaction():
        connection.execute(query("migrate.take_lock"))
        connection.execute(query("migrate.create_history"))
        for file in _pending(connection, migration_set):
            try:
                connection.execute(file.text)
                parameters = {"migration_set": migration_set, "name": file.name, "checksum": file.checksum}
                connection.execute(query("migrate.record"), parameters)
            except psycopg.Error as error:
                raise MigrationError(f"{file.path} failed, and nothing was applied: {error}") from error
            applied_names.append(file.name)
    return applied_names


def migrate_all(settings: Settings) -> dict[str, list[str]]:
    """Apply the pending files of source and warehouse; return their names by set.

    Raises:
        MigrationError: see `migrate`.
        UnavailableError: a server can't be reached.
    """
    targets = {"source": settings.url("admin_url"), "warehouse": settings.url("warehouse_admin_url")}
    applied_names = {}
    for migration_set, url in targets.items():
        try:
            with psycopg.connect(url, autocommit=True, application_name="salespulse migrate") as connection:
                applied_names[migration_set] = migrate(connection, migration_set)
        except psycopg.OperationalError as error:
            raise UnavailableError(f"cannot reach the server of the {migration_set} migrations: {error}") from error
    return applied_names
