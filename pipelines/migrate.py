"""Forward migrations of `dbsql/migrations/`. No Dagster.

Two sets: `source` goes to the primary, beside the application; `warehouse` to the warehouse (the same server by
default). Each file is applied once, in the order of its number, in a transaction of its own, and its text is pinned by a
checksum: an applied file that was edited later is refused, because nobody could say what the database has.
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


@dataclass(frozen=True)
class _Migration:
    name: str
    text: LiteralString
    checksum: str


def _load_migrations(migration_set: str) -> list[_Migration]:
    folder = sql_root() / "migrations" / migration_set
    migrations = []
    for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql")):
        text = path.read_text(encoding="utf-8")
        # From this project's own files: what LiteralString stands for.
        migrations.append(_Migration(path.stem, text, hashlib.sha256(text.encode()).hexdigest()))
    return migrations


def applied_migrations(connection: psycopg.Connection[Any], migration_set: str) -> dict[str, str]:
    """Return the applied migrations of a set, name to checksum; empty where none ever ran."""
    exists = connection.execute(query("migrate.history_exists")).fetchone()
    if exists is None or not exists[0]:
        return {}
    return dict(connection.execute(query("migrate.read_history"), {"migration_set": migration_set}).fetchall())


def pending_migrations(connection: psycopg.Connection[Any], migration_set: str) -> list[str]:
    """Return the names of the migrations that are not applied yet, in order.

    Raises:
        MigrationError: an applied file was changed since, or the database has one that this version does not know.
    """
    return [migration.name for migration in _pending(connection, migration_set)]


def _pending(connection: psycopg.Connection[Any], migration_set: str) -> list[_Migration]:
    files = _load_migrations(migration_set)
    applied = applied_migrations(connection, migration_set)
    unknown = sorted(set(applied) - {migration.name for migration in files})
    if unknown:
        raise MigrationError(
            f"the database has the {migration_set} migration {unknown[0]}, which this version of salespulse does not "
            "know: install the newer version that applied it"
        )
    for migration in files:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"dbsql/migrations/{migration_set}/{migration.name}.sql was changed after it had been applied: "
                "restore its text and put the change into a new file"
            )
    return [migration for migration in files if migration.name not in applied]


def migrate(connection: psycopg.Connection[Any], migration_set: str) -> list[str]:
    """Apply the pending migrations of a set; return their names.

    Args:
        connection: autocommit, as a role that may create schemas and roles, direct (not through a pooler).
        migration_set: `source` or `warehouse`.

    Raises:
        MigrationError: a file was edited after it ran, or a statement failed (that file is rolled back whole).
    """
    applied_names = []
    with connection.transaction():
        connection.execute(query("migrate.take_lock"))
        connection.execute(query("migrate.create_history"))
        for migration in _pending(connection, migration_set):
            try:
                with connection.transaction():
                    connection.execute(migration.text)
                    connection.execute(
                        query("migrate.record"),
                        {"migration_set": migration_set, "name": migration.name, "checksum": migration.checksum},
                    )
            except psycopg.Error as error:
                raise MigrationError(
                    f"dbsql/migrations/{migration_set}/{migration.name}.sql failed, and nothing was applied: {error}"
                ) from error
            applied_names.append(migration.name)
    return applied_names


def migrate_all(settings: Settings) -> dict[str, list[str]]:
    """Apply the pending migrations of source and warehouse; return their names by set.

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
