"""Every named statement of `dbsql/queries/` is planned against the migrated schema: a misspelt column fails here."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dbsql import load_statements, sql_root
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation, Plain, Template, clone, discard

# Statements on the tables of Dagster's own storage are tested where those exist.
ELSEWHERE = {"dagster_events", "retention"}
FILES = sorted({path.stem for path in (sql_root() / "queries").glob("*.sql")} - ELSEWHERE)
_PARAMETER = re.compile(r"%\([a-z_]+\)s")
_COPY_OUT = re.compile(r"COPY \((?P<select>.*)\) TO STDOUT\s*$", re.DOTALL)
_COPY_IN = re.compile(r"COPY (?P<table>[a-z_.]+)\s*(\((?P<columns>[^)]*)\))? FROM STDIN", re.DOTALL)
_PLANNED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE")


@pytest.fixture(scope="module")
def migrated(postgres_pair: PostgresPair, retail_template: Template) -> Iterator[Installation]:
    made = clone(postgres_pair, retail_template)
    yield made
    discard(made)


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
        for made in dict.fromkeys(("apply", "dimensions", "state", file)):
            for _, code in _statements(migrated, made):
                if code.startswith("CREATE TEMP TABLE"):
                    connection.execute("SAVEPOINT making")
                    try:
                        connection.execute(code.encode())
                    except psycopg.errors.DuplicateTable:
                        connection.execute("ROLLBACK TO making")
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


def _statements(migrated: Installation, file: str) -> list[tuple[str, str]]:
    """Names and texts, with NULL for each parameter; without those that Python completes with identifiers."""
    found = []
    for name, statement in load_statements(file).items():
        code = _PARAMETER.sub("NULL", _code(statement)).replace("%%", "%")
        for entity, key_type in migrated.mapping.key_types.items():
            code = code.replace(f"{{{entity}}}", key_type)
        if not re.search(r"\{[a-z]+\}", code):
            found.append((name, code))
    return found


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
