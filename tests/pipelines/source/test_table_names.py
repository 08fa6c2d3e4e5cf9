"""Names of captured tables: quoted, with dots, alike when joined; each has a function of its own."""

import random
from collections.abc import Iterator

import pytest
from psycopg import sql

from pipelines.migrate import migrate
from pipelines.source import Capture, SourceMapping, check_source, install_source
from pipelines.source.install import function_name
from tests.servers import fresh_database
from tests.servers.postgres import PostgresPair
from tests.warehouse import Plain

SALE = [{"entity": "sale", "key": "id"}]
LONG = "a_table_with_a_name_that_is_as_long_as_postgresql_lets_it_be_"


def _mapping(*tables: str, views: str = "") -> SourceMapping:
    """A mapping that captures sales from some tables, and returns from the first."""
    changes = {table: SALE + [{"entity": "return", "key": "id"}] * (table == tables[0]) for table in tables}
    key_types = dict.fromkeys(("tenant", "store", "product", "product_group", "customer", "sale", "return"), "bigint")
    capture = [{"table": table, "changes": changes[table]} for table in tables]
    return SourceMapping.model_validate({"name": "m", "key_types": key_types, "capture": capture, "views_sql": views})


@pytest.mark.parametrize(
    ("text", "schema", "table", "spelling"),
    [
        ("shop.lines", "shop", "lines", "shop.lines"),
        ('"shop"."lines"', "shop", "lines", "shop.lines"),
        ('public."Sale"', "public", "Sale", 'public."Sale"'),
        ("public.Sale", "public", "Sale", 'public."Sale"'),
        ('"a.b"."c.d"', "a.b", "c.d", '"a.b"."c.d"'),
        ('"say ""hi"""."two words"', 'say "hi"', "two words", '"say ""hi"""."two words"'),
        ("caf\u00e9.ventes", "caf\u00e9", "ventes", '"caf\u00e9".ventes'),
    ],
)
def test_one_spelling(text: str, schema: str, table: str, spelling: str) -> None:
    capture = Capture.model_validate({"table": text, "changes": SALE})
    assert (capture.schema_name, capture.table_name, capture.table) == (schema, table, spelling)


@pytest.mark.parametrize("text", ["lines", "a.b.c", "a.", ".b", '"a.b', 'a."b', '""."b"', 'a"b.c', 'a."b"c', "a b.c"])
def test_a_malformed_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be written schema\.table"):
        Capture.model_validate({"table": text, "changes": SALE})


def test_a_table_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r'public\."Sale" stands twice'):
        _mapping('public."Sale"', "public.Sale")


@pytest.fixture
def database(postgres_pair: PostgresPair) -> Iterator[Plain]:
    """A connection to a database with the source's schema and no application."""
    name = fresh_database(postgres_pair)
    with postgres_pair.primary.connect(name) as connection:
        migrate(connection, "source")
        yield connection
    postgres_pair.drop_database(name)


def _random_tables(seed: int) -> list[tuple[str, str]]:
    """Pairs of names of which many are the same when joined, cut, folded or stripped of punctuation."""
    rng = random.Random(seed)
    parts = [
        "shop",
        "shop_pos",
        "pos_lines",
        "lines",
        "Lines",
        "li.nes",
        'li"nes',
        "li nes",
        "\u00fcber",
        LONG + "a",
        LONG + "b",
    ]
    return sorted(
        {(rng.choice(parts), rng.choice(parts)) for _ in range(40)} | {("shop", "pos_lines"), ("shop_pos", "lines")}
    )


@pytest.mark.parametrize("seed", range(3))
def test_each_table_has_its_function_and_its_writes_are_logged(database: Plain, seed: int) -> None:
    tables = [sql.Identifier(*names) for names in _random_tables(seed)]
    for schema in {schema for schema, _ in _random_tables(seed)}:
        database.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    for number, table in enumerate(tables):
        # Columns in another order: a function that two tables share fails in the second.
        columns = ["id bigint", "note text", "at date"]
        database.execute(
            sql.SQL("CREATE TABLE {} ({})").format(
                table, sql.SQL(", ".join(columns[number % 3 :] + columns[: number % 3]))
            )  # type: ignore[arg-type]
        )
    mapping = _mapping(*(table.as_string(database) for table in tables))
    names = {function_name(capture) for capture in mapping.capture}
    assert len(names) == len(tables)
    assert max(len(name.encode()) for name in names) <= 63
    install_source(database, mapping)
    for number, table in enumerate(tables):
        for statement in (
            "INSERT INTO {} (id) VALUES (%s)",
            "UPDATE {} SET note = '' WHERE id = %s",
            "DELETE FROM {} WHERE id = %s",
        ):
            database.execute(sql.SQL(statement).format(table), [number])  # type: ignore[arg-type]
    logged = database.execute(
        "SELECT key::integer, count(*) FROM salespulse_source.change_log WHERE entity = 'sale' GROUP BY 1"
    )
    assert dict(logged.fetchall()) == dict.fromkeys(range(len(tables)), 3)
    assert [str(problem) for problem in check_source(database, mapping) if "view" not in str(problem)] == []


def test_install_replaces_functions_of_an_older_version(database: Plain) -> None:
    """Triggers move to the new function in the transaction that drops the old one."""
    database.execute("CREATE SCHEMA shop; CREATE TABLE shop.pos_lines (id bigint)")
    mapping = _mapping("shop.pos_lines")
    install_source(database, mapping)
    new = function_name(mapping.capture[0])
    database.execute(
        sql.SQL("ALTER FUNCTION salespulse_source.{} RENAME TO capture_shop_pos_lines").format(sql.Identifier(new))
    )
    database.execute("UPDATE salespulse_source.installed_capture SET function_name = 'capture_shop_pos_lines'")
    install_source(database, mapping)
    functions = database.execute(
        "SELECT DISTINCT proname FROM pg_proc LEFT JOIN pg_trigger ON tgfoid = pg_proc.oid WHERE proname LIKE 'capture%'"
    )
    assert functions.fetchall() == [(new,)]
    database.execute("INSERT INTO shop.pos_lines VALUES (7)")
    assert database.execute("SELECT count(*) FROM salespulse_source.change_log").fetchone() == (2,)
