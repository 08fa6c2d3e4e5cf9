"""The capture functions never stop the application, and open no subtransaction."""

from collections.abc import Callable

from psycopg import sql

from pipelines.refresh import RefreshResult
from pipelines.source import check_source
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import OFTEN, SELDOM, World, add_line
from tests.warehouse import Installation, one

Refreshed = Callable[..., RefreshResult]

_LOGGED = (
    "SELECT entity, key IS NULL FROM salespulse_source.change_log WHERE change_id > %s GROUP BY 1, 2 ORDER BY 1, 2"
)
_LAST = "SELECT coalesce(max(change_id), 0) FROM salespulse_source.change_log"


def test_a_renamed_column_never_fails_a_write_and_check_names_it(
    mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed
) -> None:
    """Each captured table in turn: everything of its entities is logged, until the column has its name again."""
    admin, application = mapped.admin(), mapped.application()
    refresh_mapped()
    for capture in mapped.mapping.capture:
        table = sql.Identifier(capture.schema_name, capture.table_name)
        key = capture.changes[0].key
        names = {"table": table, "key": sql.Identifier(key), "other": sql.Identifier("renamed")}
        admin.execute(sql.SQL("ALTER TABLE {table} RENAME COLUMN {key} TO {other}").format(**names))
        last = one(admin, _LAST)
        application.execute(sql.SQL("UPDATE {table} SET {other} = {other} WHERE false").format(**names))
        assert one(admin, _LAST) == last, "nothing changed"
        application.execute(sql.SQL("UPDATE {table} SET {other} = {other}").format(**names))
        application.execute("BEGIN")
        application.execute(sql.SQL("DELETE FROM {table}").format(**names))
        application.execute("ROLLBACK")
        expected = sorted({(change.entity, True) for change in capture.changes})
        assert admin.execute(_LOGGED.encode(), [last]).fetchall() == expected
        assert f"column {capture.table}.{key} is missing" in "\n".join(map(str, check_source(admin, mapped.mapping)))
        admin.execute(sql.SQL("ALTER TABLE {table} RENAME COLUMN {other} TO {key}").format(**names))
        last = one(admin, _LAST)
        application.execute(sql.SQL("UPDATE {table} SET {key} = {key}").format(**names))
        logged = admin.execute(_LOGGED.encode(), [last]).fetchall()
        assert logged == [(entity, False) for entity, _ in expected]
    assert check_source(admin, mapped.mapping) == []
    refresh_mapped()
    assert mapped.rollup_errors() == {}


def test_what_was_written_while_a_column_was_renamed_arrives(
    mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed
) -> None:
    admin = mapped.admin()
    refresh_mapped()
    lines = next(c for c in mapped.mapping.capture if c.table.lower().endswith(("items", "lines", 'item"')))
    names = {
        "table": sql.Identifier(lines.schema_name, lines.table_name),
        "key": sql.Identifier(lines.changes[0].key),
        "other": sql.Identifier("renamed"),
    }
    admin.execute(sql.SQL("ALTER TABLE {table} RENAME COLUMN {key} TO {other}").format(**names))
    admin.execute(sql.SQL("DELETE FROM {table} WHERE ctid = (SELECT min(ctid) FROM {table})").format(**names))
    refresh_mapped()
    admin.execute(sql.SQL("ALTER TABLE {table} RENAME COLUMN {other} TO {key}").format(**names))
    assert mapped.rollup_errors() == {}


def test_a_dropped_or_retyped_column_never_fails_a_write(mapped: Installation, session: Session, world: World) -> None:
    admin = mapped.admin()
    for capture in mapped.mapping.capture:
        names = {
            "table": sql.Identifier(capture.schema_name, capture.table_name),
            "key": sql.Identifier(capture.changes[0].key),
        }
        admin.execute(sql.SQL("ALTER TABLE {table} DROP COLUMN {key} CASCADE").format(**names))
        admin.execute(sql.SQL("DELETE FROM {table}").format(**names))
        admin.execute(sql.SQL("ALTER TABLE {table} ADD COLUMN {key} date DEFAULT now()").format(**names))
        admin.execute(sql.SQL("DELETE FROM {table}").format(**names))


def test_a_hundred_captured_statements_open_no_subtransaction(
    mapped: Installation, session: Session, world: World
) -> None:
    admin = mapped.admin()
    session.begin()
    statements = 0
    for number in range(40):
        for operation in (
            OFTEN["sell"],
            add_line,
            OFTEN["edit_lines"],
            OFTEN["delete_payments"],
            SELDOM["touch_lines"],
        ):
            session.run(world, operation, number, number + 1, number + 2)
            statements += 1
    assert statements >= 100
    pid = session.connection.info.backend_pid
    count = "SELECT (pg_stat_get_backend_subxact(i)).subxact_count FROM pg_stat_get_backend_idset() AS i WHERE pg_stat_get_backend_pid(i) = %s"
    assert one(admin, count, pid) == 0
    session.connection.execute("SAVEPOINT a")
    session.run(world, add_line, 1, 2, 3)
    assert one(admin, count, pid) == 1, "a subtransaction is seen"
    session.connection.execute("ROLLBACK")
