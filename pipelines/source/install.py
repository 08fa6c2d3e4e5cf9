"""Install a mapping's views and triggers on the primary, and uninstall them. Both may be repeated."""

import hashlib
import re
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
    """Create the mapping's views, trigger functions and triggers, all or nothing.

    Args:
        connection: autocommit, to the primary, as the owner of the application's tables (or one who may add triggers).
        mapping: which application.
        lock_timeout_s: a trigger needs a short exclusive lock on its table; after this time nothing is installed, and the
            application has waited no longer.

    Raises:
        SourceError: a table or column is missing, a privilege is missing, or a lock timed out.
    """
    try:
        with connection.transaction():
            connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(lock_timeout_s * 1000)}ms"])
            connection.execute(mapping.views)
            connection.execute(query("source.grant_views"))
            previous = _installed_functions(connection, mapping)
            connection.execute(query("source.forget_captures"), {"source_name": mapping.name})
            for capture in mapping.capture:
                _install_capture(connection, mapping, capture)
            _drop_functions(connection, previous - {function_name(capture) for capture in mapping.capture})
    except psycopg.errors.LockNotAvailable as error:
        raise SourceError(
            f"a table of {mapping.name} stayed locked for {lock_timeout_s:g} s, and nothing was installed: "
            "try again when no long transaction is running"
        ) from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName) as error:
        raise SourceError(
            f"the mapping {mapping.name} does not fit this database: {error.diag.message_primary}. Nothing was "
            f"installed; `salespulse source check {mapping.name}` lists every difference"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise SourceError(
            f"{error.diag.message_primary}: install as the owner of the application's tables (SALESPULSE_ADMIN_URL)"
        ) from error


def uninstall_source(connection: psycopg.Connection[Any], mapping: SourceMapping) -> None:
    """Drop the mapping's triggers, functions and views; the change log and the application's tables stay."""
    with connection.transaction():
        _drop_functions(connection, _installed_functions(connection, mapping))
        connection.execute(query("source.forget_captures"), {"source_name": mapping.name})
        for (view,) in connection.execute(query("source.list_views")).fetchall():
            connection.execute(sql.SQL("DROP VIEW {}").format(sql.Identifier("salespulse_source", view)))


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
    template = (sql_root() / "capture" / "trigger_function.sql").read_text(encoding="utf-8")
    connection.execute(
        sql.SQL(template).format(
            function=function,
            old_keys=_keys(capture.changes, "old_rows"),
            new_keys=_keys(capture.changes, "new_rows"),
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
