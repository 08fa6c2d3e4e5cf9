"""Mappings: a folder with `source.toml` (which column holds a changed entity's key) and `views.sql` (its present rows)."""

import re
import tomllib
from pathlib import Path
from typing import LiteralString, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from dbconnect.errors import SalespulseError
from dbsql import sql_root

ENTITIES = ("tenant", "store", "product", "product_group", "customer", "sale", "return")
# A part of a table's name: in double quotes (a quote within is doubled), or without dots and quotes.
_PART = r'("(?:[^"]|"")+"|[^."\s]+)'
_TABLE = re.compile(rf"{_PART}\.{_PART}")
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
KEY_TYPES = ("text", "bigint", "integer", "uuid")


class SourceError(SalespulseError):
    """The mapping is malformed, or does not fit the application's schema."""


def _parse_table(text: str) -> tuple[str, str]:
    """Return schema and table of `schema.table`, of which each part may stand in double quotes."""
    match = _TABLE.fullmatch(text)
    if match is None:
        message = f"table {text!r} must be written schema.table, with double quotes around a name that holds a dot"
        raise ValueError(message)
    schema, table = (part[1:-1].replace('""', '"') if part.startswith('"') else part for part in match.groups())
    return schema, table


def _quote_table(schema: str, table: str) -> str:
    """Return the one spelling of a table's name, with quotes only where SQL needs them."""
    return ".".join(
        name if _PLAIN_NAME.fullmatch(name) else '"{}"'.format(name.replace('"', '""')) for name in (schema, table)
    )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Change(_Strict):
    """A column of a captured table that holds the key of a changed entity."""

    entity: str
    key: str
    tenant: str | None = None

    @field_validator("entity")
    @classmethod
    def _check_entity(cls, value: str) -> str:
        if value not in ENTITIES:
            message = f"entity {value!r} is none of {', '.join(ENTITIES)}"
            raise ValueError(message)
        return value


class Capture(_Strict):
    """One captured table and what a changed row of it means.

    `table` is `schema.table`, each part as the catalogue spells it; a part in double quotes may hold dots, as in SQL.
    """

    table: str
    changes: tuple[Change, ...]

    @field_validator("table")
    @classmethod
    def _check_table(cls, value: str) -> str:
        return _quote_table(*_parse_table(value))

    @property
    def schema_name(self) -> str:
        """The schema's name, without quotes."""
        return _parse_table(self.table)[0]

    @property
    def table_name(self) -> str:
        """The table's name, without quotes."""
        return _parse_table(self.table)[1]


class SourceMapping(_Strict):
    """One application's schema in the project's terms."""

    name: str
    key_types: dict[str, str]
    capture: tuple[Capture, ...]
    views_sql: str = ""

    @model_validator(mode="after")
    def _check_completeness(self) -> Self:
        for entity in ENTITIES:
            key_type = self.key_types.get(entity)
            if key_type not in KEY_TYPES:
                message = f"key_types.{entity} is {key_type!r}; it must be one of {', '.join(KEY_TYPES)}"
                raise ValueError(message)
        tables = [capture.table for capture in self.capture]
        for table in tables:
            if tables.count(table) > 1:
                message = f"table {table} stands twice: one entry may have several changes"
                raise ValueError(message)
        missing = {"sale", "return"} - {change.entity for capture in self.capture for change in capture.changes}
        if missing:
            message = f"no captured table leads to a changed {' or '.join(sorted(missing))}"
            raise ValueError(message)
        return self

    @property
    def views(self) -> LiteralString:
        """The views' text, from the mapping's own file."""
        return self.views_sql


def load_mapping(name: str) -> SourceMapping:
    """Read a mapping by name (a folder of `dbsql/source/`) or by path.

    Raises:
        SourceError: there is no such folder, a file is missing, or `source.toml` is malformed.
    """
    bundled = sql_root() / "source" / name
    folder = bundled if bundled.is_dir() else Path(name)
    toml, views = folder / "source.toml", folder / "views.sql"
    for path in (toml, views):
        if not path.is_file():
            raise SourceError(
                f"the mapping {name!r} has no {path.name}: give the name of a folder of dbsql/source/, or a path to one "
                "(docs/howto/adopt-an-application.md)"
            )
    try:
        document = tomllib.loads(toml.read_text(encoding="utf-8"))
        return SourceMapping.model_validate({**document, "views_sql": views.read_text(encoding="utf-8")})
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{toml}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SourceError(f"{toml}: {where}: {first['msg'].removeprefix('Value error, ')}") from error
