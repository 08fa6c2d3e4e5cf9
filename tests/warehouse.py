"""Pytest plugin: a database with the application, the change capture and the warehouse in place.

It is made once per session as a template and cloned for each test. Everything connects as the role that production
uses (`salespulse_reader`, `salespulse_pipeline`, and `retail_application` with rights on its own schema only), so the
tests show that the granted privileges suffice.

Fixtures: `installation` (one clone), `connections` (what a refresh takes), `refreshed` (waits for replay, refreshes).
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import tuple_row

from local_stack.waiting import wait_until
from pipelines.migrate import MIGRATION_SETS, migrate
from pipelines.refresh import Connections, RefreshOptions, RefreshResult, refresh
from pipelines.refresh.connections import Connection, connect_route
from pipelines.source import SourceMapping, install_source, load_mapping
from sample_app import install_application
from tests.expected_rollups import Rollup, differences, expected_rollups
from tests.servers import Database, fresh_database
from tests.servers.postgres import PostgresPair, PostgresServer
from tests.warehouse_rows import all_rollup_rows, dimension_rows, quarantined, source_dimensions

Plain = psycopg.Connection[tuple[Any, ...]]

APPLICATION_ROLE = "retail_application"
ROLES = ("salespulse_reader", "salespulse_pipeline", "salespulse_dashboard", APPLICATION_ROLE)


@dataclass
class Installation:
    """One database with everything in place. Connections made here are closed with it.

    Attributes:
        database: on the pair.
        mapping: of the application.
        passwords: role to password.
    """

    database: Database
    mapping: SourceMapping
    passwords: dict[str, str] = field(repr=False)
    _open: ExitStack = field(default_factory=ExitStack, repr=False)
    _watch: dict[PostgresServer, Plain] = field(default_factory=dict, repr=False)

    @property
    def source_name(self) -> str:
        return self.mapping.name

    @property
    def pair(self) -> PostgresPair:
        return self.database.pair

    def url(self, role: str, *, server: PostgresServer | None = None) -> str:
        """URL of this database as a role; on the primary unless a server is given."""
        return (server or self.pair.primary).url(self.database.name, user=role, password=self.passwords[role])

    def application(self) -> Plain:
        """A new autocommit connection of the application to the primary."""
        return self._keep(psycopg.connect(self.url(APPLICATION_ROLE), autocommit=True))

    def admin(self, *, server: PostgresServer | None = None) -> Plain:
        """A new autocommit connection of the superuser; to the primary unless a server is given."""
        url = (server or self.pair.primary).url(self.database.name)
        return self._keep(psycopg.connect(url, autocommit=True))

    def route(self, role: str, *, server: PostgresServer | None = None) -> Connection:
        """A new connection of the kind that a refresh uses."""
        return self._keep(connect_route(self.url(role, server=server), role))

    def connections(self, *, replica: PostgresServer | None = None) -> Connections:
        """New connections for a refresh; reads the standby unless another server is given."""
        return Connections(
            replica=self.route("salespulse_reader", server=replica or self.pair.standby),
            warehouse=self.route("salespulse_pipeline"),
            primary=self.route("salespulse_pipeline"),
        )

    def options(self, **changes: Any) -> RefreshOptions:
        """Options with short waits, so that a test that goes wrong ends soon."""
        return replace(RefreshOptions(self.mapping, lock_wait_s=10, statement_timeout_s=120), **changes)

    def wait_for_replay(self) -> None:
        """Return when the standby shows everything that is committed now."""
        primary, standby = self._watched(self.pair.primary), self._watched(self.pair.standby)
        target = one(primary, "SELECT pg_current_wal_flush_lsn()::text")
        wait_until(
            lambda: one(standby, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", target),
            timeout_s=30,
            what=f"the standby to replay up to {target}",
            every_s=0.002,
        )

    def truth(self) -> dict[str, Rollup]:
        """What rollups, dimensions and the quarantine must hold now: plain SQL over the application's tables."""
        primary = self._watched(self.pair.primary)
        dimensions = source_dimensions(primary)
        if one(primary, "SELECT to_regnamespace('truth') IS NULL"):
            return {**expected_rollups(primary), **dimensions, "quarantine": {}}
        waiting = {tuple(row): () for row in primary.execute("SELECT kind, id FROM truth.quarantined")}
        return {**expected_rollups(primary, schema="truth"), **dimensions, "quarantine": waiting}

    def rollup_errors(self, expected: dict[str, Rollup] | None = None, *, warehouse: Plain | None = None) -> Any:
        """Rows in which rollups, dimensions or the quarantine differ from the truth, by table; empty if exact.

        The warehouse is this database unless a connection to another one is given.
        """
        expected = self.truth() if expected is None else expected
        warehouse = warehouse or self._watched(self.pair.primary)
        actual = {**all_rollup_rows(warehouse), **dimension_rows(warehouse), "quarantine": quarantined(warehouse)}
        assert expected.keys() == actual.keys()
        wrong = {name: differences(expected[name], actual[name]) for name in expected}
        return {name: rows for name, rows in wrong.items() if rows}

    def _watched(self, server: PostgresServer) -> Plain:
        # An installation may outlive a server that a test of another file has killed meanwhile.
        if server not in self._watch or not answers(self._watch[server]):
            self._watch[server] = self.admin(server=server)
        return self._watch[server]

    def close(self) -> None:
        """Close every connection that was made here."""
        self._open.close()
        self._watch.clear()

    def _keep(self, connection: Any) -> Any:
        # Closed, not left as a context: that would commit, and another test may have killed the server meanwhile.
        self._open.callback(connection.close)
        return connection


def answers(connection: psycopg.Connection[Any]) -> bool:
    """Whether the connection's server is still the one that it was opened to."""
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def one(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> Any:
    """The first column of the first row."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query.encode(), parameters or None).fetchone()
    assert row is not None, query
    return row[0]


def set_up_roles(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Let the roles log in, with passwords of their own; give role to password."""
    passwords = {role: secrets.token_hex(12) for role in ROLES}
    for role, password in passwords.items():
        if not one(connection, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", role):
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        connection.execute(
            sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
        )
    return passwords


def grant_application(connection: psycopg.Connection[Any], schema: str) -> None:
    """Give the application's role the rights that an application has: its own schema, nothing of Salespulse's."""
    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(APPLICATION_ROLE)}
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}").format(**names))
    connection.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}").format(**names))
    connection.execute(sql.SQL("GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {role}").format(**names))


def prepare_database(connection: psycopg.Connection[Any], mapping: SourceMapping) -> None:
    """Migrate both sets and install the mapping; the application's tables are there already."""
    for migration_set in MIGRATION_SETS:
        migrate(connection, migration_set)
    install_source(connection, mapping)


@pytest.fixture(scope="session")
def retail_mapping() -> SourceMapping:
    return load_mapping("retail")


@dataclass(frozen=True)
class Template:
    """A database to clone: nobody is connected to it."""

    name: str
    mapping: SourceMapping
    passwords: dict[str, str] = field(repr=False)


@pytest.fixture(scope="session")
def role_passwords(postgres_pair: PostgresPair) -> dict[str, str]:
    """The roles belong to the cluster, so that their passwords are set once."""
    with postgres_pair.primary.connect() as connection:
        return set_up_roles(connection)


def make_retail_template(pair: PostgresPair, mapping: SourceMapping, passwords: dict[str, str]) -> Template:
    """The bundled application without rows, captured, with an empty warehouse, on any pair."""
    name = fresh_database(pair)
    with pair.primary.connect(name) as connection:
        install_application(connection)
        grant_application(connection, "retail")
        prepare_database(connection, mapping)
    return Template(name, mapping, passwords)


@pytest.fixture(scope="session")
def retail_template(
    postgres_pair: PostgresPair, retail_mapping: SourceMapping, role_passwords: dict[str, str]
) -> Template:
    return make_retail_template(postgres_pair, retail_mapping, role_passwords)


def make_template(pair: PostgresPair, application: str, passwords: dict[str, str]) -> Template:
    """One of the applications under tests/pipelines/source, likewise."""
    folder = Path(__file__).parent / "pipelines" / "source" / application
    mapping = load_mapping(str(folder))
    name = fresh_database(pair)
    with pair.primary.connect(name) as connection:
        connection.execute((folder / "application.sql").read_bytes())
        for schema in {capture.schema_name for capture in mapping.capture}:
            grant_application(connection, schema)
        prepare_database(connection, mapping)
    return Template(name, mapping, passwords)


@pytest.fixture(scope="session")
def shop_template(postgres_pair: PostgresPair, role_passwords: dict[str, str]) -> Template:
    """Other names, integer keys, cents."""
    return make_template(postgres_pair, "shop", role_passwords)


@pytest.fixture(scope="session")
def prisma_template(postgres_pair: PostgresPair, role_passwords: dict[str, str]) -> Template:
    """Names that need double quotes."""
    return make_template(postgres_pair, "prisma", role_passwords)


@pytest.fixture(scope="session", params=["retail", "shop", "prisma"])
def any_template(request: pytest.FixtureRequest) -> Template:
    """Each application: tests that use it run over all."""
    template = request.getfixturevalue(f"{request.param}_template")
    assert isinstance(template, Template)
    return template


def install_truth(installation: Installation) -> None:
    """Add the schema `truth`, which `Installation.truth` uses where rows may be such that they can't be counted."""
    folder = Path(__file__).parent / "pipelines" / "source" / installation.source_name
    installation.admin().execute((folder / "truth.sql").read_bytes())


def clone(pair: PostgresPair, template: Template) -> Installation:
    """A new database like the template; give it back with `discard`."""
    name = fresh_database(pair, template=template.name)
    return Installation(Database(pair, name), template.mapping, template.passwords)


def discard(installation: Installation) -> None:
    """Close and drop."""
    installation.close()
    installation.pair.drop_database(installation.database.name)


@pytest.fixture
def installation(postgres_pair: PostgresPair, retail_template: Template) -> Iterator[Installation]:
    """A clone of the template for one test."""
    installation = clone(postgres_pair, retail_template)
    yield installation
    discard(installation)


@pytest.fixture
def own_installation(own_pair: PostgresPair, retail_mapping: SourceMapping) -> Iterator[Installation]:
    """An installation on a pair of its own, which the test may promote, break or lose."""
    with own_pair.primary.connect() as connection:
        passwords = set_up_roles(connection)
    template = make_retail_template(own_pair, retail_mapping, passwords)
    own_pair.wait_for_replay()
    installation = Installation(Database(own_pair, template.name), retail_mapping, passwords)
    yield installation
    installation.close()


@pytest.fixture
def connections(installation: Installation) -> Connections:
    """What a refresh of `installation` takes."""
    return installation.connections()


@pytest.fixture
def refreshed(installation: Installation, connections: Connections) -> Callable[..., RefreshResult]:
    """Wait for the standby, refresh, give the result; keyword arguments change the options."""

    def run(**changes: Any) -> RefreshResult:
        installation.wait_for_replay()
        return refresh(connections, installation.options(**changes))

    return run
