"""Column schemas for the UI, read from the migrations: known before any database is, and free of cost per event.

A test compares them with the live catalogue.
"""

import re
from functools import cache

import dagster as dg

from dbsql import sql_root

_TABLE = re.compile(r"^CREATE TABLE salespulse\.(?P<name>\w+) \(\n(?P<body>.*?)^\)", re.MULTILINE | re.DOTALL)
_ADDED = re.compile(r"^ALTER TABLE salespulse\.(?P<name>\w+)\s+ADD COLUMN (?P<column>[^;]+);", re.MULTILINE)
_COLUMN = re.compile(
    r"^(?P<name>[a-z_]+) (?P<type>[a-z0-9_]+(?:\[\])?)(?P<rest>.*)$",
)
_KEY = re.compile(r"^PRIMARY KEY \((?P<columns>[^)]+)\)")
_CONSTRAINTS = ("PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "CONSTRAINT", "EXCLUDE")


def table_schema(table: str) -> dg.TableSchema:
    """Give the columns of a warehouse table: name, type, nullability, and the comment above it as description.

    Raises:
        KeyError: no migration creates such a table.
    """
    return dg.TableSchema(columns=_tables()[table])


@cache
def _tables() -> dict[str, list[dg.TableColumn]]:
    tables: dict[str, list[dg.TableColumn]] = {}
    for path in sorted((sql_root() / "migrations" / "warehouse").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        for match in _TABLE.finditer(text):
            tables[match["name"]] = _columns(match["body"])
        for match in _ADDED.finditer(text):
            tables[match["name"]].extend(_columns(match["column"]))
    return tables


def _columns(body: str) -> list[dg.TableColumn]:
    lines = [line.strip().removesuffix(",") for line in body.splitlines()]
    key = {
        name.strip()
        for line in lines
        if (match := _KEY.match(line)) is not None
        for name in match["columns"].split(",")
    }
    columns, comment = [], []
    for line in lines:
        if line.startswith("--"):
            comment.append(line.removeprefix("--").strip())
            continue
        match = _COLUMN.match(line)
        if match is None or line.startswith(_CONSTRAINTS):
            continue
        is_set = "NOT NULL" in match["rest"] or "PRIMARY KEY" in match["rest"] or match["name"] in key
        columns.append(
            dg.TableColumn(
                name=match["name"],
                type=match["type"],
                description=" ".join(comment) or None,
                constraints=dg.TableColumnConstraints(nullable=not is_set),
            )
        )
        comment = []
    return columns
