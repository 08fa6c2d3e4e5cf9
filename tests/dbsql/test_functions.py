"""`dbsql/functions/` holds the present text of every function that the migrations make."""

import re

from dbsql import sql_root
from tests.warehouse import Installation, Plain

_FUNCTION = re.compile(r"^CREATE OR REPLACE FUNCTION (?P<name>\w+\.\w+)\(", re.MULTILINE)
# Made by `salespulse source install`, for each captured table.
_CAPTURE = "capture\\_%"


def definitions(connection: Plain) -> dict[str, str]:
    rows = connection.execute(
        "SELECT pronamespace::regnamespace || '.' || proname, pg_get_functiondef(oid) FROM pg_proc "
        "WHERE pronamespace IN ('salespulse'::regnamespace, 'salespulse_source'::regnamespace) AND proname NOT LIKE %s",
        [_CAPTURE],
    )
    return dict(rows.fetchall())


def test_the_files_are_what_the_database_has(installation: Installation) -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted((sql_root() / "functions").glob("*.sql"))]
    names = [match["name"] for text in texts for match in _FUNCTION.finditer(text)]
    connection = installation.admin()
    before = definitions(connection)
    assert sorted(names) == sorted(before)
    connection.execute("BEGIN")
    for text in texts:
        connection.execute(text.encode())
    assert definitions(connection) == before
    connection.execute("ROLLBACK")
