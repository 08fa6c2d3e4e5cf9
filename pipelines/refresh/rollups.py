"""The rollups: one SQL file each, whose same text serves the signed difference, the facts and the staged source."""

import re
from dataclasses import dataclass
from functools import cache
from typing import LiteralString

from psycopg import sql

from dbsql import query, sql_root
from pipelines.refresh.errors import RollupError

RELATIONS = ("document", "document_line", "document_payment")
_HEADER = re.compile(r"^-- (?P<name>relation|grain|counts): (?P<value>.+)$", re.MULTILINE)
_MEASURE = re.compile(r"^\s*sum\([a-z_]+\) AS (?P<name>[a-z_]+),?$", re.MULTILINE)


@dataclass(frozen=True)
class Rollup:
    """One rollup.

    Attributes:
        name: of the file, the table in schema `salespulse`, and the Dagster asset.
        description: the file's first line: its grain in words.
        relation: what it sums: `document`, `document_line` or `document_payment`.
        grain: the columns that identify a row.
        counts: the measures that count what contributes to a row; a row whose counts are all zero is deleted.
        measures: every summed column.
        text: the SELECT, with `{relation}` open.
    """

    name: str
    description: str
    relation: str
    grain: tuple[str, ...]
    counts: tuple[str, ...]
    measures: tuple[str, ...]
    text: LiteralString

    @property
    def table(self) -> sql.Identifier:
        """The rollup's table."""
        return sql.Identifier("salespulse", self.name)

    @property
    def date_column(self) -> str:
        """`business_date`, or `business_month` (the first day of the month)."""
        return "business_month" if "business_month" in self.grain else "business_date"

    @property
    def is_monthly(self) -> bool:
        """Whether a row covers a month."""
        return self.date_column == "business_month"

    def over(self, relation: sql.Composable) -> sql.Composed:
        """Give the SELECT over a relation of the right shape."""
        return sql.SQL(self.text).format(relation=relation)


@cache
def all_rollups() -> tuple[Rollup, ...]:
    """Read every file of `dbsql/rollups/`, in the order of their names.

    Raises:
        RollupError: a file is not as it must be; the message says which and what.
    """
    return tuple(
        parse_rollup(path.stem, path.read_text(encoding="utf-8"))
        for path in sorted((sql_root() / "rollups").glob("*.sql"))
    )


def rollup_named(name: str) -> Rollup:
    """Give one rollup.

    Raises:
        RollupError: there is none of that name.
    """
    for rollup in all_rollups():
        if rollup.name == name:
            return rollup
    raise RollupError(f"no rollup {name!r}; there are {', '.join(rollup.name for rollup in all_rollups())}")


def parse_rollup(name: str, text: str) -> Rollup:
    """Read one rollup file.

    Raises:
        RollupError: a header line is missing or names something unknown, the grain lacks a column that every rollup
            has, or no measure was found.
    """
    header = {match["name"]: match["value"].strip() for match in _HEADER.finditer(text)}
    for wanted in ("relation", "grain", "counts"):
        if wanted not in header:
            raise RollupError(f"dbsql/rollups/{name}.sql has no line `-- {wanted}: …`")
    if header["relation"] not in RELATIONS:
        raise RollupError(
            f"dbsql/rollups/{name}.sql: relation {header['relation']!r} is none of {', '.join(RELATIONS)}"
        )
    measures = tuple(match["name"] for match in _MEASURE.finditer(text))
    counts = _names(header["counts"])
    if not set(counts) <= set(measures) or not counts:
        raise RollupError(f"dbsql/rollups/{name}.sql: each name under `-- counts:` must be a `sum(…) AS name` column")
    grain = _names(header["grain"])
    if not {"tenant_key", "store_key"} <= set(grain) or len({"business_date", "business_month"} & set(grain)) != 1:
        raise RollupError(
            f"dbsql/rollups/{name}.sql: the grain must have tenant_key, store_key, and either business_date or "
            "business_month: verification and repair look for rows by them"
        )
    statement = text[text.index("SELECT") :].strip().removesuffix(";")
    return Rollup(
        name=name,
        description=text.splitlines()[0].removeprefix("-- ").strip(),
        relation=header["relation"],
        grain=grain,
        counts=counts,
        measures=measures,
        text=statement,
    )


@cache
def merge_delta(rollup: Rollup) -> bytes:
    """Give the MERGE that adds the signed difference to a rollup; its row count is the rows written."""
    delta = sql.SQL("({}) AS delta").format(sql.SQL(query(f"apply.delta_{rollup.relation}")))
    return (
        sql.SQL(
            "MERGE INTO {table} AS r USING (SELECT * FROM ({select}) AS s WHERE ({measures}) IS DISTINCT FROM ({zeros})) AS d "
            "ON {matches} "
            "WHEN MATCHED AND {empty} THEN DELETE "
            "WHEN MATCHED THEN UPDATE SET {additions} "
            "WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"
        )
        .format(
            table=rollup.table,
            select=rollup.over(delta),
            measures=_join(", ", "s.{}", rollup.measures),
            zeros=sql.SQL(", ").join(sql.SQL("0") for _ in rollup.measures),
            matches=_join(" AND ", "r.{0} = d.{0}", rollup.grain),
            empty=_join(" AND ", "r.{0} + d.{0} = 0", rollup.counts),
            additions=_join(", ", "{0} = r.{0} + d.{0}", rollup.measures),
            columns=_join(", ", "{}", rollup.grain + rollup.measures),
            values=_join(", ", "d.{}", rollup.grain + rollup.measures),
        )
        .as_bytes()
    )


def _names(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(","))


def _join(separator: LiteralString, template: LiteralString, names: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(separator).join(sql.SQL(template).format(sql.Identifier(name)) for name in names)
