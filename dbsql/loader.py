"""Read named statements from the `.sql` files of this package."""

import re
from functools import cache
from pathlib import Path
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class SqlFileError(Exception):
    """A statement is missing, or a SQL file is malformed."""


def sql_root() -> Path:
    """Return the folder that holds all SQL."""
    return Path(__file__).parent


@cache
def load_statements(file: str) -> dict[str, LiteralString]:
    """Return the statements of one file under `queries/`, by name, without their closing semicolon.

    Raises:
        SqlFileError: no such file, a text outside any name, a name used twice, or a statement that is empty.
    """
    path = sql_root() / "queries" / f"{file}.sql"
    if not path.is_file():
        raise SqlFileError(f"no SQL file {path.name} under dbsql/queries/")
    head, *parts = _NAME.split(path.read_text(encoding="utf-8"))
    if any(line.strip() and not line.startswith("--") for line in head.splitlines()):
        raise SqlFileError(f"{path.name}: text before the first `-- name:` line")
    statements: dict[str, LiteralString] = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        if name in statements:
            raise SqlFileError(f"{path.name}: the name {name} is defined twice")
        statement = text.strip().removesuffix(";").strip()
        if not statement:
            raise SqlFileError(f"{path.name}: {name} has no statement")
        # The text comes from this package's own files, which is what LiteralString stands for.
        statements[name] = cast("LiteralString", statement)
    return statements


def query(name: str) -> LiteralString:
    """Return one statement by `file.name`, as in `query("state.take_lock")`.

    Raises:
        SqlFileError: there is none of that name.
    """
    file, _, statement = name.partition(".")
    try:
        return load_statements(file)[statement]
    except KeyError:
        raise SqlFileError(f"dbsql/queries/{file}.sql has no statement named {statement!r}") from None
