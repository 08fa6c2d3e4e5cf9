"""Compare a rollup's rows with its SQL over a relation, and set them right."""

from typing import Any, LiteralString

from psycopg import sql

from dbsql import query
from pipelines.refresh.connections import Connection
from pipelines.refresh.rollups import Rollup
from pipelines.verification.date_ranges import DateRange
from pipelines.verification.report import NAMED_AT_MOST, DriftedRow


def facts_relation(rollup: Rollup) -> sql.Composed:
    """The facts of a range of dates, in the shape that a rollup sums."""
    return sql.SQL("(SELECT * FROM {facts} WHERE business_date BETWEEN %(from_date)s AND %(to_date)s) AS facts").format(
        facts=sql.Identifier("salespulse", f"fact_{rollup.relation}")
    )


def staged_relation(rollup: Rollup) -> sql.Identifier:
    """The source as it was staged for verification, in the same shape."""
    return sql.Identifier("pg_temp", f"verify_{rollup.relation}")


def find_drifted_rows(
    warehouse: Connection, rollup: Rollup, relation: sql.Composable, window: DateRange
) -> tuple[int, list[DriftedRow]]:
    """Compare the rollup's rows of a window with its SQL over a relation; give the count and the first of them."""
    rows = warehouse.execute(
        sql.SQL(
            "SELECT {grain}, e.{probe} IS NOT NULL AS is_expected, f.{probe} IS NOT NULL AS is_found, "
            "{expected}, {found}, count(*) OVER () AS drifted "
            "FROM ({select}) AS e FULL JOIN ("
            "SELECT {columns} FROM {table} WHERE {date} BETWEEN %(from_date)s AND %(to_date)s) AS f "
            "USING ({grain}) WHERE ({e_measures}) IS DISTINCT FROM ({f_measures}) ORDER BY {grain} LIMIT %(most)s"
        ).format(
            grain=names("{}", rollup.grain),
            probe=sql.Identifier(rollup.measures[0]),
            expected=_aliased("e", "expected", rollup.measures),
            found=_aliased("f", "found", rollup.measures),
            select=rollup.over(relation),
            columns=names("{}", rollup.grain + rollup.measures),
            table=rollup.table,
            date=sql.Identifier(rollup.date_column),
            e_measures=names("e.{}", rollup.measures),
            f_measures=names("f.{}", rollup.measures),
        ),
        {**window.parameters(monthly=rollup.is_monthly), "most": NAMED_AT_MOST},
    ).fetchall()
    return (rows[0]["drifted"] if rows else 0), [_drifted(warehouse, rollup, row) for row in rows[:NAMED_AT_MOST]]


def recompute(warehouse: Connection, rollup: Rollup, window: DateRange) -> int:
    """Set a rollup's rows of a window to what its SQL gives over the facts; give the rows that were wrong.

    Only rows that differ are written, so readers never see the table empty, and an exact table is not touched. The tenants of
    those rows get a new version: no document of theirs changed, but a figure did.
    """
    parameters = window.parameters(monthly=rollup.is_monthly)
    wrong = warehouse.execute(
        sql.SQL(
            "CREATE TEMP TABLE wrong_row ON COMMIT DROP AS "
            "SELECT {grain}, {e_measures}, e.{probe} IS NOT NULL AS is_expected FROM ({select}) AS e FULL JOIN ("
            "SELECT {columns} FROM {table} WHERE {date} BETWEEN %(from_date)s AND %(to_date)s) AS r "
            "USING ({grain}) WHERE ({e_measures}) IS DISTINCT FROM ({r_measures})"
        ).format(
            grain=names("{}", rollup.grain),
            e_measures=names("e.{}", rollup.measures),
            r_measures=names("r.{}", rollup.measures),
            probe=sql.Identifier(rollup.measures[0]),
            select=rollup.over(facts_relation(rollup)),
            columns=names("{}", rollup.grain + rollup.measures),
            table=rollup.table,
            date=sql.Identifier(rollup.date_column),
        ),
        parameters,
    ).rowcount
    if wrong:
        _set_right(warehouse, rollup)
    warehouse.execute(sql.SQL("DROP TABLE pg_temp.wrong_row"))
    return wrong


def _set_right(warehouse: Connection, rollup: Rollup) -> None:
    columns = rollup.grain + rollup.measures
    warehouse.execute(
        sql.SQL(
            "MERGE INTO {table} AS r USING pg_temp.wrong_row AS w ON {matches} "
            "WHEN MATCHED AND w.is_expected THEN UPDATE SET {values} "
            "WHEN MATCHED THEN DELETE "
            "WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({w_columns})"
        ).format(
            table=rollup.table,
            matches=names("r.{0} = w.{0}", rollup.grain, " AND "),
            values=names("{0} = w.{0}", rollup.measures),
            columns=names("{}", columns),
            w_columns=names("w.{}", columns),
        )
    )
    found = warehouse.execute(sql.SQL("SELECT DISTINCT tenant_key FROM pg_temp.wrong_row")).fetchall()
    warehouse.execute(query("verify.mark_tenants_changed"), {"tenant_keys": [row["tenant_key"] for row in found]})


def names(template: LiteralString, columns: tuple[str, ...], separator: LiteralString = ", ") -> sql.Composed:
    """Put each column's identifier into a template, and join."""
    return sql.SQL(separator).join(sql.SQL(template).format(sql.Identifier(column)) for column in columns)


def _aliased(side: str, prefix: str, measures: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{}.{} AS {}").format(
            sql.Identifier(side), sql.Identifier(measure), sql.Identifier(f"{prefix}_{measure}")
        )
        for measure in measures
    )


def _drifted(warehouse: Connection, rollup: Rollup, row: dict[str, Any]) -> DriftedRow:
    grain = {name: row[name] for name in rollup.grain}
    for key, statement, natural in (
        ("tenant_key", "verify.tenant_names", "tenant_id"),
        ("store_key", "verify.store_names", "store_id"),
    ):
        found = warehouse.execute(query(statement), {f"{key}s": [row[key]]}).fetchone()
        grain[natural] = found[natural] if found is not None else None
    return DriftedRow(
        rollup=rollup.name,
        grain=grain,
        expected={name: row[f"expected_{name}"] for name in rollup.measures} if row["is_expected"] else None,
        found={name: row[f"found_{name}"] for name in rollup.measures} if row["is_found"] else None,
    )
