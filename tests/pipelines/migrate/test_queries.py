"""Every named statement of `dbsql/queries/` is planned against the migrated schema: a misspelt column fails here."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from dbsql import load_statements, query, sql_root
from pipelines.refresh import Rollup, all_rollups
from pipelines.refresh.rollups import RELATIONS
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation, Plain, Template, clone, discard

# Files and statements on the tables of Dagster's own storage are tested where those exist.
ON_DAGSTER_TABLES = {"dagster_events", "retention.prune_events", "retention.prune_observations"}
FILES = sorted({path.stem for path in (sql_root() / "queries").glob("*.sql")} - ON_DAGSTER_TABLES)
_PARAMETER = re.compile(r"%\([a-z_]+\)s")
_COPY_OUT = re.compile(r"COPY \((?P<select>.*)\) TO STDOUT\s*$", re.DOTALL)
_COPY_IN = re.compile(r"COPY (?P<table>[a-z_.]+)\s*(\((?P<columns>[^)]*)\))? FROM STDIN", re.DOTALL)
_PLANNED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE")


@pytest.fixture(scope="module")
def migrated(postgres_pair: PostgresPair, retail_template: Template) -> Iterator[Installation]:
    installation = clone(postgres_pair, retail_template)
    yield installation
    discard(installation)


def _code(statement: str) -> str:
    """Without leading comments."""
    return re.sub(r"\A(\s*--[^\n]*\n)+", "", statement).strip()


def _plan(connection: Plain, statement: str) -> None:
    if copied := _COPY_OUT.match(statement):
        statement = copied["select"].strip()
    elif read := _COPY_IN.match(statement):
        statement = f"SELECT {read['columns'] or '*'} FROM {read['table']}"
    verb = "EXPLAIN " if statement.upper().startswith(_PLANNED) else ""
    connection.execute((verb + statement).encode())


@pytest.mark.parametrize("file", FILES)
def test_statements_fit_the_migrated_schema(migrated: Installation, file: str) -> None:
    problems = []
    with migrated.pair.primary.connect(migrated.database.name) as connection:
        connection.execute("BEGIN")
        # What a statement needs of temporary tables stands in the same file or in the batch that goes before it.
        for earlier in dict.fromkeys(("apply", "dimensions", "state", "verify", file)):
            for _, code in _statements(migrated, earlier):
                if code.startswith("CREATE TEMP TABLE"):
                    connection.execute("SAVEPOINT making")
                    try:
                        connection.execute(code.encode())
                    except psycopg.errors.DuplicateTable:
                        connection.execute("ROLLBACK TO making")
        first = all_rollups()[0]
        _plan(connection, _complete(connection, first, "create_drifted_rows", first.over_facts()))
        # What drops is tried last.
        for name, code in sorted(_statements(migrated, file), key=lambda item: item[1].startswith("DROP")):
            if code.startswith("CREATE TEMP TABLE"):
                continue
            connection.execute("SAVEPOINT trying")
            try:
                _plan(connection, code)
            except psycopg.Error as error:
                problems.append(f"{name}: {error}")
                connection.execute("ROLLBACK TO trying")
    assert problems == []


@pytest.mark.parametrize("rollup", all_rollups(), ids=lambda rollup: rollup.name)
def test_rollup_statements_fit_the_table(migrated: Installation, rollup: Rollup) -> None:
    """Every statement of `rollups.sql` that is completed with a rollup's columns, over each relation that it runs over."""
    with migrated.pair.primary.connect(migrated.database.name) as connection:
        connection.execute("BEGIN")
        connection.execute(query("apply.create_batch_tables"))
        connection.execute(query("verify.create_staged_source"))
        plans = [("merge_delta", rollup.over_difference())]
        plans += [("list_drifted_rows", select) for select in (rollup.over_facts(), rollup.over_staged_source())]
        plans += [("create_drifted_rows", rollup.over_facts()), ("repair_drifted_rows", None), ("list_months", None)]
        for name, select in plans:
            _plan(connection, _complete(connection, rollup, name, select))


def _complete(connection: Plain, rollup: Rollup, name: str, select: sql.Composed | None) -> str:
    return _PARAMETER.sub("NULL", _code(rollup.statement(name, select).as_string(connection)))


@pytest.mark.parametrize("relation", RELATIONS)
def test_grain_columns_are_those_of_the_relation(migrated: Installation, relation: str) -> None:
    """What else a relation has are measures, and what identifies a document."""
    columns = RELATIONS[relation][1]
    tables = {name: sql.Identifier("salespulse", f"fact_{name}") for name in ("document", "document_line")}
    tables["document_payment"] = sql.Identifier("salespulse", "fact_document_payment")
    with migrated.pair.primary.connect(migrated.database.name) as connection:
        connection.execute("BEGIN")
        connection.execute(query("apply.create_batch_tables"))
        difference = connection.execute(query(f"rollups.delta_{relation}")).description or []
        rows = sql.SQL(query(f"rollups.rows_{relation}")).format(**tables)
        facts = connection.execute(rows, {"from_date": None, "to_date": None}).description or []
    assert set(columns) <= {column.name for column in difference}
    others = {column.name for column in facts} - {"document_key", "document_kind", "document_id", "occurred_at"}
    assert {name for name in others if not name.endswith(("_count", "units", "_amount"))} == set(columns)


def _statements(migrated: Installation, file: str) -> list[tuple[str, str]]:
    """Names and texts, with NULL for each parameter; without those that Python completes with identifiers."""
    statements = []
    for name, statement in load_statements(file).items():
        code = _PARAMETER.sub("NULL", _code(statement)).replace("%%", "%")
        for entity, key_type in migrated.mapping.key_types.items():
            code = code.replace(f"{{{entity}}}", key_type)
        for entity in ("store", "product", "customer") if "{stage}" in code else ():
            parts = {
                "dimension": f"salespulse.dim_{entity}",
                "stage": f"pg_temp.stage_{entity}",
                "member_id": f"{entity}_id",
            }
            statements.append((name, code.format(**parts)))
        if f"{file}.{name}" not in ON_DAGSTER_TABLES and not re.search(r"\{[a-z_]+\}", code):
            statements.append((name, code))
    return statements


def test_every_statement_is_described_and_used() -> None:
    """A name that no code asks for is dead; `file.name` is how code asks for it."""
    root = Path(__file__).parents[3]
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in (
            "background_jobs",
            "dashboard_api",
            "dbconnect",
            "local_stack",
            "pipelines",
            "salespulse",
            "sample_app",
            "benchmarks",
        )
        for path in (root / folder).rglob("*.py")
    )
    unused = [
        f"{file}.{name}"
        for file in FILES
        for name in load_statements(file)
        if not re.search(rf"\b{name}\b", code) and not _is_composed(name, code)
    ]
    assert unused == []


def _is_composed(name: str, code: str) -> bool:
    """Whether the name can come from an f-string: `copy_{plural}`, `infer_tenants_of_{plural}`."""
    prefixes = re.findall(r"f\"(?:[a-z_]+\.)?([a-z_]+_)\{", code)
    return any(name.startswith(prefix) for prefix in prefixes)
