"""Column schemas for the UI, read from the migrations: known before any database is, and without cost per event.

Tests compare them with a migrated database.
"""

import re
from functools import cache

import dagster as dg

from dbsql import sql_root

_TABLE = re.compile(r"^CREATE TABLE salespulse\.(?P<table>\w+) \(\n(?P<body>.*?)^\)", re.MULTILINE | re.DOTALL)
_ADDED = re.compile(r"^ALTER TABLE salespulse\.(?P<table>\w+)\s+ADD COLUMN (?P<body>[^;]+);", re.MULTILINE)
_COMMENT = re.compile(
    r"^COMMENT ON COLUMN salespulse\.(?P<table>\w+)\.(?P<column>\w+)\s+IS '(?P<text>(?:[^']|'')*)';", re.MULTILINE
)
_COLUMN = re.compile(r"^\s*(?P<name>[a-z_]+) (?P<type>[a-z0-9_]+(?:\[\])?)(?P<rest>.*)$", re.MULTILINE)
_KEY = re.compile(r"^\s*PRIMARY KEY \((?P<columns>[^)]+)\)", re.MULTILINE)


def table_schema(table: str) -> dg.TableSchema:
    """Return the columns of a warehouse table: name, type, nullability, and the database's comment as description.

    Raises:
        KeyError: no migration creates such a table.
    """
    return dg.TableSchema(columns=_tables()[table])


@cache
def _tables() -> dict[str, list[dg.TableColumn]]:
    paths = sorted((sql_root() / "migrations" / "warehouse").glob("*.sql"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    comments = {
        (match["table"], match["column"]): match["text"].replace("''", "'") for match in _COMMENT.finditer(text)
    }
    tables: dict[str, list[dg.TableColumn]] = {}
    for match in (*_TABLE.finditer(text), *_ADDED.finditer(text)):
        tables.setdefault(match["table"], []).extend(_columns(match["table"], match["body"], comments))
    return tables


def _columns(table: str, body: str, comments: dict[tuple[str, str], str]) -> list[dg.TableColumn]:
    key = {name for match in _KEY.finditer(body) for name in match["columns"].split(", ")}
    return [
        dg.TableColumn(
            name=match["name"],
            type=match["type"],
            description=comments.get((table, match["name"])),
            constraints=dg.TableColumnConstraints(
                nullable=not ("NOT NULL" in match["rest"] or "PRIMARY KEY" in match["rest"] or match["name"] in key)
            ),
        )
        for match in _COLUMN.finditer(body)
    ]
