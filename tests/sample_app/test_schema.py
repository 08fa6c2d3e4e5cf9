"""The application's schema is put in place once, whoever asks how often."""

import concurrent.futures

import psycopg
import pytest

from sample_app import SchemaError, install_application
from sample_app.schema import TABLES
from tests.servers import Database


def test_a_second_install_changes_nothing(database: Database) -> None:
    with psycopg.connect(database.primary_url, autocommit=True) as connection:
        assert install_application(connection) is True
        connection.execute("INSERT INTO retail.tenants (id, name) VALUES ('t', 'kept')")
        assert install_application(connection) is False
        assert connection.execute("SELECT name FROM retail.tenants").fetchall() == [("kept",)]


def test_installers_at_once_make_one_schema(database: Database) -> None:
    def install(_: int) -> bool:
        with psycopg.connect(database.primary_url, autocommit=True) as connection:
            return install_application(connection)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(install, range(4))) == [False, False, False, True]
    with psycopg.connect(database.primary_url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'retail'")
        assert {name for (name,) in rows} == TABLES


def test_a_schema_that_is_there_in_part_is_left_alone(database: Database) -> None:
    with psycopg.connect(database.primary_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA retail CREATE TABLE sales (id text)")
        with pytest.raises(SchemaError, match=r"without the tables customers, payments"):
            install_application(connection)
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'retail'").fetchone() == (1,)
