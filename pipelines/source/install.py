"""Install a mapping's views and triggers on the primary, and uninstall them. Both may be repeated."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from dbsql import query, sql_root
from pipelines.source.mapping import Capture, Change, SourceError, SourceMapping

TRIGGER_EVENTS = {
    "insert": ("INSERT", "REFERENCING NEW TABLE AS new_rows"),
    "update": ("UPDATE", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    "delete": ("DELETE", "REFERENCING OLD TABLE AS old_rows"),
    "truncate": ("TRUNCATE", ""),
}


def install_source(connection: psycopg.Connection[Any], mapping: SourceMapping, *, lock_timeout_s: float = 5.0) -> None:
    """Create the mapping's views, trigger functions and triggers, all or nothing; what it no longer has goes.

    Args:
        connection: autocommit, to the primary, as the owner of the application's tables (or one who may add triggers).
        mapping: which application.
        lock_timeout_s: a trigger needs a short exclusive lock on its table; after this time nothing is installed, and the
            application has waited no longer.

    Raises:
        SourceError: another mapping is installed, a table, column or privilege is missing, a view that is not the
            mapping's hangs on one of its views, or a lock timed out.
    """
    with _install_transaction(connection, mapping, lock_timeout_s):
        others = _installed_mappings(connection) - {mapping.name}
        if others:
            raise _other_mapping(mapping, others)
        _replace_views(connection, mapping)
        connection.execute(query("source.grant_views"))
        previous = _installed_functions(connection, mapping)
        connection.execute(query("source.forget_captures"), {"source_name": mapping.name})
        for capture in mapping.capture:
            _install_capture(connection, mapping, capture)
        _drop_functions(connection, previous - {function_name(capture) for capture in mapping.capture})


def uninstall_source(
    connection: psycopg.Connection[Any], mapping: SourceMapping, *, lock_timeout_s: float = 5.0
) -> bool:
    """Drop the mapping's triggers, functions and views, all or nothing; the change log and the application's tables stay.

    Returns:
        Whether it was installed.

    Raises:
        SourceError: another mapping is installed, a privilege is missing, a view that is not the mapping's hangs on one
            of its views, or a lock timed out.
    """
    with _install_transaction(connection, mapping, lock_timeout_s):
        installed = _installed_mappings(connection)
        if not installed:
            return False
        if mapping.name not in installed:
            raise _other_mapping(mapping, installed)
        _drop_functions(connection, _installed_functions(connection, mapping))
        connection.execute(query("source.forget_captures"), {"source_name": mapping.name})
        if installed == {mapping.name}:
            _drop_views(connection)
    return True


@contextmanager
def _install_transaction(
    connection: psycopg.Connection[Any], mapping: SourceMapping, lock_timeout_s: float
) -> Iterator[None]:
    """Open the transaction of an install or uninstall, and say in one sentence why it was rolled back."""
    try:
        with connection.transaction():
            connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(lock_timeout_s * 1000)}ms"])
            yield
    except psycopg.errors.LockNotAvailable as error:
        raise SourceError(
            f"a table of {mapping.name} stayed locked for {lock_timeout_s:g} s, and nothing was changed: "
            "try again when no long transaction is running"
        ) from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName) as error:
        raise SourceError(
            f"the mapping {mapping.name} does not fit this database: {error.diag.message_primary}. Nothing was "
            f"changed; `salespulse source check {mapping.name}` lists every difference"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise SourceError(
            f"{error.diag.message_primary}: install as the owner of the application's tables (SALESPULSE_ADMIN_URL)"
        ) from error
    except psycopg.DatabaseError as error:
        if isinstance(error, psycopg.OperationalError):
            raise
        raise SourceError(
            f"the mapping {mapping.name} can't be installed or uninstalled: {error.diag.message_primary or error}. "
            "Nothing was changed; views.sql must run on this database"
        ) from error


def _other_mapping(mapping: SourceMapping, installed: set[str]) -> SourceError:
    names = " and ".join(sorted(installed))
    return SourceError(f"{names} is installed, not {mapping.name}: run `salespulse source uninstall` for {names} first")


def _installed_mappings(connection: psycopg.Connection[Any]) -> set[str]:
    return {source_name for source_name, _ in connection.execute(query("source.installed_captures")).fetchall()}


def _replace_views(connection: psycopg.Connection[Any], mapping: SourceMapping) -> None:
    """Create the views again: PostgreSQL replaces no column's type or name in place.

    Within the transaction, so that a reader waits rather than misses a view. Where a foreign view hangs on them they are
    replaced in place, which suffices as long as columns are the same.
    """
    dependants = [row[0] for row in connection.execute(query("source.list_dependants")).fetchall()]
    if not dependants:
        _drop_views(connection)
    try:
        connection.execute(mapping.views)
    except (psycopg.errors.InvalidTableDefinition, psycopg.errors.DuplicateTable) as error:
        if not dependants:
            raise
        raise SourceError(
            f"{error.diag.message_primary}, and {', '.join(dependants)} can't do without the view: drop it, install, "
            "and create it again. Nothing was changed"
        ) from error


def _drop_views(connection: psycopg.Connection[Any]) -> None:
    views = [row[0] for row in connection.execute(query("source.list_views")).fetchall()]
    if views:
        # In one statement, so that views may read one another.
        names = [sql.Identifier("salespulse_source", view) for view in views]
        connection.execute(sql.SQL("DROP VIEW {}").format(sql.SQL(", ").join(names)))


def function_name(capture: Capture) -> str:
    """Return the trigger function's name for a table, without its schema.

    It ends in a digest of the table's whole name: joined with `_` or cut to the 63 bytes of an identifier, the names of
    two tables may be the same.
    """
    readable = re.sub(r"[^a-z0-9]+", "_", capture.table.lower()).strip("_")
    return f"capture_{readable[:32]}_{hashlib.sha256(capture.table.encode()).hexdigest()[:16]}"


def trigger_names() -> list[str]:
    """Return the names of the triggers that every captured table has."""
    return [f"salespulse_{event}" for event in TRIGGER_EVENTS]


def _installed_functions(connection: psycopg.Connection[Any], mapping: SourceMapping) -> set[str]:
    rows = connection.execute(query("source.installed_captures")).fetchall()
    return {function for source_name, function in rows if source_name == mapping.name}


def _drop_functions(connection: psycopg.Connection[Any], functions: set[str]) -> None:
    for function in sorted(functions):
        # CASCADE takes the triggers, which are the only things that depend on a trigger function.
        connection.execute(
            sql.SQL("DROP FUNCTION IF EXISTS {}() CASCADE").format(sql.Identifier("salespulse_source", function))
        )


def _install_capture(connection: psycopg.Connection[Any], mapping: SourceMapping, capture: Capture) -> None:
    name = function_name(capture)
    function = sql.Identifier("salespulse_source", name)
    table = sql.Identifier(capture.schema_name, capture.table_name)
    columns = sorted({name for change in capture.changes for name in (change.key, change.tenant) if name is not None})
    template = (sql_root() / "capture" / "trigger_function.sql").read_text(encoding="utf-8")
    connection.execute(
        sql.SQL(template).format(
            function=function,
            old_keys=_keys(capture.changes, "old_rows"),
            new_keys=_keys(capture.changes, "new_rows"),
            has_columns=_has_columns(connection, capture, columns),
            columns=sql.Literal(columns),
            column_count=sql.Literal(len(columns)),
            entities=sql.Literal([change.entity for change in capture.changes]),
        )
    )
    for event, (verb, referencing) in TRIGGER_EVENTS.items():
        connection.execute(
            sql.SQL(
                "CREATE OR REPLACE TRIGGER {trigger} AFTER {verb} ON {table} {referencing} "
                "FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
            ).format(
                trigger=sql.Identifier(f"salespulse_{event}"),
                verb=sql.SQL(verb),
                table=table,
                referencing=sql.SQL(referencing),
                function=function,
            )
        )
    connection.execute(
        query("source.record_capture"),
        {"source_name": mapping.name, "table_name": capture.table, "function_name": name},
    )


def _has_columns(connection: psycopg.Connection[Any], capture: Capture, columns: list[str]) -> sql.Composed:
    """Whether the table still has each column under its number, as an expression without a query."""
    names = {"schema": capture.schema_name, "relation": capture.table_name}
    numbers = dict(connection.execute(query("source.list_column_numbers"), names).fetchall())
    return sql.SQL(" AND ").join(
        sql.SQL("(pg_identify_object_as_address(1259, TG_RELID, {number})).object_names[3] = {name}").format(
            number=sql.Literal(numbers.get(name)), name=sql.Literal(name)
        )
        for name in columns
    )


def _keys(changes: tuple[Change, ...], rows: str) -> sql.Composed:
    """Select (entity, key, tenant) of every change that a row of the transition table stands for, each once."""
    selects = [
        sql.SQL("SELECT {entity}, {key}::text, {tenant}::text FROM {rows} WHERE {key} IS NOT NULL").format(
            entity=sql.Literal(change.entity),
            key=sql.Identifier(change.key),
            tenant=sql.SQL("NULL") if change.tenant is None else sql.Identifier(change.tenant),
            rows=sql.Identifier(rows),
        )
        for change in changes
    ]
    if len(selects) == 1:
        return sql.SQL("SELECT DISTINCT * FROM ({}) AS changed").format(selects[0])
    return sql.SQL(" UNION ").join(selects)
