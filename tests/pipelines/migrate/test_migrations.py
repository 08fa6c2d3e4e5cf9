"""Migrations: applied once, pinned by checksum, under a lock, all or nothing; functions: applied when their text changes."""

import gzip
import shutil
import threading
from pathlib import Path

import psycopg
import pytest

from dbsql import sql_root
from pipelines.migrate import MIGRATION_SETS, MigrationError, applied_migrations, migrate, pending_migrations
from tests.pipelines.migrate.schema_dump import FILE, dump_schema, migrated_schema
from tests.servers import Database, fresh_database
from tests.warehouse import Plain, one

# The text that migration 0013 had when it created the functions of dbsql/functions/ itself.
FORMER_0013 = Path(__file__).with_name("0013_dashboard_figures.sql.gz")


@pytest.fixture
def empty(database: Database) -> Plain:
    return database.pair.primary.connect(database.name)


@pytest.fixture
def sql_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the SQL folder that the migrations are read from, to be changed."""
    copy = tmp_path / "dbsql"
    for folder in ("migrations", "functions"):
        shutil.copytree(sql_root() / folder, copy / folder)
    monkeypatch.setattr("pipelines.migrate.sql_root", lambda: copy)
    return copy


def function_files() -> list[str]:
    return sorted(f"functions/{path.stem}" for path in (sql_root() / "functions").glob("*.sql"))


@pytest.mark.parametrize("migration_set", MIGRATION_SETS)
def test_each_file_is_applied_once_in_order(empty: Plain, migration_set: str) -> None:
    names = sorted(path.stem for path in (sql_root() / "migrations" / migration_set).glob("*.sql"))
    names += function_files() if migration_set == "warehouse" else []
    assert pending_migrations(empty, migration_set) == names
    assert migrate(empty, migration_set) == names
    assert migrate(empty, migration_set) == []
    assert pending_migrations(empty, migration_set) == []
    assert list(applied_migrations(empty, migration_set)) == names


def test_an_applied_file_that_was_edited_is_refused(empty: Plain, sql_copy: Path) -> None:
    migrate(empty, "warehouse")
    path = sql_copy / "migrations" / "warehouse" / "0001_facts.sql"
    path.write_text(path.read_text(encoding="utf-8") + "-- edited\n", encoding="utf-8")
    for check in (migrate, pending_migrations):
        with pytest.raises(MigrationError, match=r"0001_facts\.sql was changed after it had been applied"):
            check(empty, "warehouse")


def test_a_newer_database_is_refused(empty: Plain, sql_copy: Path) -> None:
    newer = sql_copy / "migrations" / "source" / "0999_future.sql"
    newer.write_text("CREATE TABLE salespulse_source.future (n integer);", encoding="utf-8")
    assert migrate(empty, "source")[-1] == "0999_future"
    newer.unlink()
    with pytest.raises(MigrationError, match=r"0999_future.*install the newer version"):
        migrate(empty, "source")


def test_a_file_that_fails_leaves_nothing(empty: Plain, sql_copy: Path) -> None:
    migrate(empty, "source")
    bad = sql_copy / "migrations" / "source" / "0999_bad.sql"
    bad.write_text("CREATE TABLE salespulse_source.half (n integer);\nSELECT 1 / 0;\n", encoding="utf-8")
    with pytest.raises(MigrationError, match=r"0999_bad\.sql failed, and nothing was applied"):
        migrate(empty, "source")
    assert one(empty, "SELECT to_regclass('salespulse_source.half')") is None
    assert "0999_bad" not in applied_migrations(empty, "source")
    bad.write_text("CREATE TABLE salespulse_source.whole (n integer);\n", encoding="utf-8")
    assert migrate(empty, "source") == ["0999_bad"]


def test_two_migrating_at_once_take_turns(database: Database) -> None:
    start, done, errors = threading.Barrier(4), [], []

    def run() -> None:
        try:
            with database.pair.primary.connect(database.name) as connection:
                start.wait(timeout=20)
                done.extend(name for migration_set in MIGRATION_SETS for name in migrate(connection, migration_set))
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(done) == sorted(set(done)) != []


def test_the_schema_file_is_what_the_migrations_give(database: Database) -> None:
    assert migrated_schema(database.pair, database.name) == FILE.read_text(encoding="utf-8"), "run tools/dump-schema"


@pytest.mark.parametrize("first", ["source", "warehouse"])
def test_the_sets_may_come_in_any_order_and_on_any_server(database: Database, first: str) -> None:
    other = fresh_database(database.pair)
    second = next(name for name in MIGRATION_SETS if name != first)
    with database.pair.primary.connect(database.name) as together, database.pair.primary.connect(other) as alone:
        migrate(together, first)
        migrate(together, second)
        migrate(alone, first)
        assert migrate(alone, first) == []
    assert dump_schema(database.pair.primary, database.name) == FILE.read_text(encoding="utf-8")
    database.pair.drop_database(other)


def test_a_missing_file_is_named_with_its_set(empty: Plain, sql_copy: Path) -> None:
    migrate(empty, "warehouse")
    (sql_copy / "migrations" / "warehouse" / "0003_row_level_security.sql").unlink()
    with pytest.raises(MigrationError, match="warehouse migration 0003_row_level_security"):
        migrate(empty, "warehouse")


def test_a_file_of_functions_is_applied_again_when_it_changes(empty: Plain, sql_copy: Path) -> None:
    migrate(empty, "warehouse")
    before = applied_migrations(empty, "warehouse")
    empty.execute("REVOKE ALL ON FUNCTION salespulse.plain FROM public")
    empty.execute("GRANT EXECUTE ON FUNCTION salespulse.plain TO salespulse_dashboard")
    grants = one(empty, "SELECT proacl::text FROM pg_proc WHERE oid = 'salespulse.plain'::regproc")
    path = sql_copy / "functions" / "dashboard_answer.sql"
    path.write_text(path.read_text(encoding="utf-8").replace("::text, '0')", "::text, 'zero')"), encoding="utf-8")
    assert pending_migrations(empty, "warehouse") == ["functions/dashboard_answer"]
    assert migrate(empty, "warehouse") == ["functions/dashboard_answer"]
    assert one(empty, "SELECT salespulse.plain(0)") == "zero"
    assert one(empty, "SELECT proacl::text FROM pg_proc WHERE oid = 'salespulse.plain'::regproc") == grants
    assert migrate(empty, "warehouse") == []
    after = applied_migrations(empty, "warehouse")
    assert {name for name in before if before[name] != after[name]} == {"functions/dashboard_answer"}


def test_every_file_of_functions_can_be_applied_again(database: Database) -> None:
    migrated_schema(database.pair, database.name)
    with database.pair.primary.connect(database.name) as connection:
        connection.execute("DELETE FROM public.salespulse_migration WHERE name LIKE 'functions/%'")
        assert migrate(connection, "warehouse") == function_files()
    assert dump_schema(database.pair.primary, database.name) == FILE.read_text(encoding="utf-8")


def test_functions_that_fail_take_their_migration_back(empty: Plain, sql_copy: Path) -> None:
    migrate(empty, "warehouse")
    migration = sql_copy / "migrations" / "warehouse" / "0999_table.sql"
    migration.write_text("CREATE TABLE salespulse.half (n integer);\n", encoding="utf-8")
    functions = sql_copy / "functions" / "half.sql"
    functions.write_text("CREATE FUNCTION salespulse.half() RETURNS integer RETURN 1 / nothing;\n", encoding="utf-8")
    with pytest.raises(MigrationError, match=r"dbsql/functions/half\.sql failed, and nothing was applied"):
        migrate(empty, "warehouse")
    assert one(empty, "SELECT to_regclass('salespulse.half')") is None
    # Functions may use what a migration of the same run creates.
    functions.write_text(
        "CREATE FUNCTION salespulse.half() RETURNS bigint RETURN (SELECT count(*) FROM salespulse.half);\n",
        encoding="utf-8",
    )
    assert migrate(empty, "warehouse") == ["0999_table", "functions/half"]
    functions.unlink()
    assert migrate(empty, "warehouse") == [], "a file of functions may go"


def test_a_database_of_the_former_0013_is_brought_to_the_same_schema(
    database: Database, sql_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grants included, which the dump holds."""
    migrations = sql_copy / "migrations" / "warehouse"
    (migrations / "0013_dashboard_figures.sql").write_bytes(gzip.decompress(FORMER_0013.read_bytes()))
    for path in migrations.glob("*.sql"):
        if path.name > "0023":
            path.unlink()
    shutil.rmtree(sql_copy / "functions")
    with database.pair.primary.connect(database.name) as connection:
        for migration_set in MIGRATION_SETS:
            migrate(connection, migration_set)
        former = dump_schema(database.pair.primary, database.name)
        owner = "SELECT DISTINCT proowner FROM pg_proc WHERE pronamespace = 'salespulse'::regnamespace"
        owners = connection.execute(owner.encode()).fetchall()
        monkeypatch.undo()
        assert migrate(connection, "warehouse")[-len(function_files()) :] == function_files()
        assert connection.execute(owner.encode()).fetchall() == owners
    upgraded = dump_schema(database.pair.primary, database.name)
    assert upgraded == FILE.read_text(encoding="utf-8")
    # Later migrations add tables with rights of their own.
    assert set(_rights(former)) <= set(_rights(upgraded))


def _rights(dump: str) -> list[str]:
    return [line for line in dump.splitlines() if line.startswith(("GRANT ", "REVOKE ", "ALTER DEFAULT"))]
