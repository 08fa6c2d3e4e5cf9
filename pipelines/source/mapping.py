"""Mappings: a folder with `source.toml` (which column holds a changed entity's key) and `views.sql` (its present rows)."""

import tomllib
from pathlib import Path
from typing import LiteralString, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from dbconnect.errors import SalespulseError
from dbsql import sql_root

ENTITIES = ("tenant", "store", "product", "product_group", "customer", "sale", "return")
KEY_TYPES = ("text", "bigint", "integer", "uuid")


class SourceError(SalespulseError):
    """The mapping is malformed, or does not fit the application's schema."""


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
    """One captured table, as `schema.table`, and what a changed row of it means."""

    table: str
    changes: tuple[Change, ...]

    @field_validator("table")
    @classmethod
    def _check_table(cls, value: str) -> str:
        if value.count(".") != 1 or not all(value.split(".")):
            message = f"table {value!r} must be written schema.table"
            raise ValueError(message)
        return value

    @property
    def schema_name(self) -> str:
        """The schema's part of `table`."""
        return self.table.split(".")[0]

    @property
    def table_name(self) -> str:
        """The table's part of `table`."""
        return self.table.split(".")[1]


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
