"""The rollups: one SQL file each, whose same text runs over the signed difference, the facts and the staged source.

Their own statements stand in `dbsql/queries/rollups.sql`; here the files are read, and the statements completed with
each rollup's columns. What runs them is in `apply` and `pipelines.verification`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import LiteralString

from psycopg import sql

from dbsql import query, sql_root
from pipelines.refresh.errors import RollupError

# What a rollup may sum -> the fact tables it reads, the columns of its grain. `business_month` follows from the date.
RELATIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "document": (("fact_document",), ("tenant_key", "store_key", "customer_key", "business_date", "business_hour")),
    "document_line": (("fact_document_line",), ("tenant_key", "store_key", "product_key", "business_date")),
    "document_line_with_header": (
        ("fact_document_line", "fact_document"),
        ("tenant_key", "store_key", "product_key", "customer_key", "business_date", "business_hour"),
    ),
    "document_payment": (("fact_document_payment",), ("tenant_key", "store_key", "payment_method", "business_date")),
}
_HEADER = re.compile(r"^-- (?P<name>relation|grain|counts): (?P<value>.+)$", re.MULTILINE)
_MEASURE = re.compile(r"^\s*sum\([a-z_]+\) AS (?P<name>[a-z_]+),?$", re.MULTILINE)
_FACT_TABLES = ("document", "document_line", "document_payment")


@dataclass(frozen=True)
class Rollup:
    """One rollup.

    Attributes:
        name: of the file, the table in schema `salespulse`, and the Dagster asset.
        description: the file's first line: its grain in words.
        relation: what it sums, one of `RELATIONS`.
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
    def fact_tables(self) -> tuple[str, ...]:
        """The fact tables that it is summed from."""
        return RELATIONS[self.relation][0]

    @property
    def date_column(self) -> str:
        """`business_date`, or `business_month` (the first day of the month)."""
        return "business_month" if "business_month" in self.grain else "business_date"

    @property
    def is_monthly(self) -> bool:
        """Whether a row covers a month."""
        return self.date_column == "business_month"

    def over_difference(self) -> sql.Composed:
        """Return the SELECT over the batch's signed difference."""
        return self._over(sql.SQL(query(f"rollups.delta_{self.relation}")))

    def over_facts(self) -> sql.Composed:
        """Return the SELECT over the facts between the parameters `from_date` and `to_date`."""
        return self._over_tables("salespulse", "fact_")

    def over_staged_source(self) -> sql.Composed:
        """Return the SELECT over the source as it was staged for verification, between the same parameters."""
        return self._over_tables("pg_temp", "verify_")

    def statement(self, name: str, select: sql.Composable | None = None) -> sql.Composed:
        """Return a statement of `rollups.sql` with this rollup's table and columns filled in.

        Args:
            name: of the statement.
            select: the rollup's own SELECT over one of its relations, where the statement uses it.
        """
        columns = self.grain + self.measures
        return sql.SQL(query(f"rollups.{name}")).format(
            select=select or sql.SQL(""),
            table=self.table,
            date_column=sql.Identifier(self.date_column),
            first_measure=sql.Identifier(self.measures[0]),
            grain=_list("{0}", self.grain),
            r_grain=_list("r.{0}", self.grain),
            s_grain=_list("s.{0}", self.grain),
            r_measures=_list("r.{0}", self.measures),
            s_measures=_list("s.{0}", self.measures),
            columns=_list("{0}", columns),
            s_columns=_list("s.{0}", columns),
            zeros=_list("0", self.measures),
            count_sums=_list("r.{0} + s.{0}", self.counts),
            count_zeros=_list("0", self.counts),
            additions=_list("{0} = r.{0} + s.{0}", self.measures),
            assignments=_list("{0} = s.{0}", self.measures),
            expected=_list("s.{0} AS {1}", self.measures, lambda name: f"expected_{name}"),
            actual=_list("r.{0} AS {1}", self.measures, lambda name: f"actual_{name}"),
        )

    def _over_tables(self, schema: str, prefix: str) -> sql.Composed:
        tables = {name: sql.Identifier(schema, prefix + name) for name in _FACT_TABLES}
        return self._over(sql.SQL(query(f"rollups.rows_{self.relation}")).format(**tables))

    def _over(self, rows: sql.Composable) -> sql.Composed:
        return sql.SQL(self.text).format(relation=sql.SQL("({}) AS relation").format(rows))


@cache
def all_rollups() -> tuple[Rollup, ...]:
    """Read every file of `dbsql/rollups/`, in the order of their names.

    Raises:
        RollupError: a file is malformed; the message says which and why.
    """
    return tuple(
        parse_rollup(path.stem, path.read_text(encoding="utf-8"))
        for path in sorted((sql_root() / "rollups").glob("*.sql"))
    )


def rollup_named(name: str) -> Rollup:
    """Return one rollup.

    Raises:
        RollupError: there is none of that name.
    """
    for rollup in all_rollups():
        if rollup.name == name:
            return rollup
    raise RollupError(f"no rollup {name!r}; there are {', '.join(rollup.name for rollup in all_rollups())}")


def parse_rollup(name: str, text: str) -> Rollup:
    """Parse one rollup file.

    Raises:
        RollupError: a header line is missing or names something unknown, the grain lacks a column that every rollup
            has or names one that the relation lacks, or there is no measure.
    """
    where = f"dbsql/rollups/{name}.sql"
    header = {match["name"]: match["value"].strip() for match in _HEADER.finditer(text)}
    for line in ("relation", "grain", "counts"):
        if line not in header:
            raise RollupError(f"{where} has no line `-- {line}: …`")
    relation = header["relation"]
    if relation not in RELATIONS:
        raise RollupError(f"{where}: relation {relation!r} is none of {', '.join(RELATIONS)}")
    measures = tuple(match["name"] for match in _MEASURE.finditer(text))
    counts = _names(header["counts"])
    if not set(counts) <= set(measures) or not counts:
        raise RollupError(f"{where}: each name under `-- counts:` must be a `sum(…) AS name` column")
    grain = _names(header["grain"])
    if not {"tenant_key", "store_key"} <= set(grain) or len({"business_date", "business_month"} & set(grain)) != 1:
        raise RollupError(
            f"{where}: the grain must have tenant_key, store_key, and either business_date or business_month: "
            "verification and repair look for rows by them"
        )
    columns = (*RELATIONS[relation][1], "business_month")
    unknown = [column for column in grain if column not in columns]
    if unknown:
        raise RollupError(
            f"{where}: {relation} has no grain column {unknown[0]!r}, only {', '.join(columns)}; "
            "docs/howto/add-a-rollup.md says what to do about others"
        )
    return Rollup(
        name=name,
        description=text.splitlines()[0].removeprefix("-- ").strip(),
        relation=relation,
        grain=grain,
        counts=counts,
        measures=measures,
        text=text[text.index("SELECT") :].strip().removesuffix(";"),
    )


@cache
def merge_delta(rollup: Rollup) -> bytes:
    """Return the MERGE that adds the batch's signed difference to a rollup; its row count is the rows written."""
    return rollup.statement("merge_delta", rollup.over_difference()).as_bytes()


def _names(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(","))


def _list(
    template: LiteralString, names: tuple[str, ...], alias: Callable[[str], str] = lambda name: name
) -> sql.Composed:
    """Return the template for each column, its name as `{0}` and an alias of it as `{1}`, separated by commas."""
    return sql.SQL(", ").join(
        sql.SQL(template).format(sql.Identifier(name), sql.Identifier(alias(name))) for name in names
    )
