"""What the replica may do: be away, lag, be behind another one, be promoted with transactions lost, be somebody else's."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from dbconnect import load_settings
from dbconnect.errors import UnavailableError
from dbsql import query
from pipelines.migrate import migrate
from pipelines.refresh import (
    Connections,
    ForeignSourceError,
    NoReplicaError,
    RefreshResult,
    ReplicaBehindError,
    connect_route,
    open_connections,
    read_state,
    refresh,
)
from pipelines.source import SourceMapping
from pipelines.verification import verify
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import World, return_half, seed, sell
from tests.servers import Database, fresh_database
from tests.servers.postgres import PostgresPair, PostgresServer
from tests.warehouse import Installation, make_retail_template, one, set_up_roles

Refreshed = Callable[..., RefreshResult]


def _sell_some(installation: Installation, world: World, sales: int) -> None:
    session = Session(installation)
    session.run(world, seed, 0, 0, 0)
    for number in range(sales):
        session.run(world, sell, number, number + 1, number + 2)
        session.run(world, return_half, number, number, number)


def test_a_replica_that_is_away(installation: Installation, connections: Connections, refreshed: Refreshed) -> None:
    world, standby = World(), installation.pair.standby
    _sell_some(installation, world, 3)
    refreshed()
    before = installation.truth()
    standby.stop()
    try:
        _sell_some(installation, world, 2)
        with pytest.raises(UnavailableError, match="a server went away"):
            refresh(connections, installation.options())
        assert installation.rollup_errors(before) == {}
        with pytest.raises(UnavailableError, match="cannot reach"):
            installation.connections()
    finally:
        standby.start()
    installation.close()
    installation.wait_for_replay()
    refresh(installation.connections(), installation.options())
    assert installation.rollup_errors() == {}


def test_a_replica_that_lags_gives_the_past_and_then_the_present(
    installation: Installation, connections: Connections, refreshed: Refreshed
) -> None:
    world, standby = World(), installation.pair.standby
    _sell_some(installation, world, 3)
    refreshed()
    past = installation.truth()
    standby.pause_replay()
    try:
        _sell_some(installation, world, 4)
        refresh(connections, installation.options())
        assert installation.rollup_errors(past) == {}
        assert verify(connections, installation.options()).is_exact
    finally:
        standby.resume_replay()
    refreshed()
    assert installation.rollup_errors() == {}


@pytest.fixture
def laggard(installation: Installation) -> Iterator[PostgresServer]:
    """A second standby."""
    server = installation.pair.add_standby(f"laggard_{installation.database.name}")
    yield server
    installation.pair.remove_standby(server)


def test_a_replica_behind_what_the_facts_reflect_is_not_read(
    installation: Installation, refreshed: Refreshed, laggard: PostgresServer
) -> None:
    world = World()
    _sell_some(installation, world, 3)
    refreshed()
    laggard.pause_replay()
    _sell_some(installation, world, 3)
    refreshed()
    behind = installation.connections(replica=laggard)
    state = read_state(behind.warehouse)
    for read in (refresh, verify):
        with pytest.raises(ReplicaBehindError, match="waiting for it to catch up"):
            read(behind, installation.options())
    assert read_state(behind.warehouse) == state
    assert installation.rollup_errors() == {}
    laggard.resume_replay()
    installation.pair.wait_for_replay(laggard)
    refresh(behind, installation.options())
    assert installation.rollup_errors() == {}


@pytest.fixture
def elsewhere(postgres_pair: PostgresPair) -> Iterator[Database]:
    """A warehouse on a server of its own: a failover of the source does not take it back in time."""
    database = Database(postgres_pair, fresh_database(postgres_pair))
    with psycopg.connect(database.primary_url, autocommit=True) as connection:
        migrate(connection, "warehouse")
    yield database
    postgres_pair.drop_database(database.name)


@pytest.mark.parametrize("read", ["old standby", "old standby, receiver hidden", "promoted server itself"])
def test_a_promotion_that_lost_transactions(
    own_installation: Installation, elsewhere: Database, role_passwords: dict[str, str], read: str
) -> None:
    """The facts reflect sales that the promoted server never had, and it uses their transaction ids again."""
    source, world, pair = own_installation, World(), own_installation.pair
    login = {"user": "salespulse_pipeline", "password": role_passwords["salespulse_pipeline"]}
    warehouse = psycopg.connect(elsewhere.primary_url, autocommit=True)

    def connections() -> Connections:
        opened = source.connections()
        url = elsewhere.pair.primary.url(elsewhere.name, **login)
        return Connections(opened.replica, connect_route(url, "warehouse"), opened.primary)

    if "hidden" in read:
        # As where the migrating role may not look at the receiver.
        source.admin().execute(
            "CREATE OR REPLACE FUNCTION salespulse_source.receiver_timeline() RETURNS integer LANGUAGE sql RETURN NULL::integer"
        )
    _sell_some(source, world, 5)
    promoted = pair.add_standby("promoted")
    old = pair.add_standby("old") if "old" in read else None
    for server in (promoted, old):
        if server is not None:
            pair.wait_for_replay(server)
            # What it does not receive is lost with the primary.
            server.stop()
    _sell_some(source, world, 30)
    pair.wait_for_replay()
    before = connections()
    refresh(before, source.options())
    assert source.rollup_errors(warehouse=warehouse) == {}
    state = read_state(before.warehouse)
    assert state is not None
    documents = one(warehouse, "SELECT count(*) FROM salespulse.fact_document")

    source.close()
    pair.primary.kill9()
    pair.standby.kill9()
    promoted.start()
    promoted.promote()
    pair.primary = pair.standby = promoted
    _sell_some(source, world, 2)
    assert one(source.admin(), "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint") < state.horizon
    if old is not None:
        with promoted.connect() as connection:
            connection.execute("SELECT pg_create_physical_replication_slot('old', true)")
        old.follow(promoted)
        pair.standby = old
    # Past the old horizon, with as many log rows as the lost ones had: neither ids nor log numbers tell.
    application = source.application()
    for number in range(100):
        _sell_some(source, world, 1)
        application.execute("UPDATE retail.sales SET receipt_number = %s WHERE id = '10001'", [str(number)])
    with psycopg.connect(source.url("salespulse_pipeline"), autocommit=True) as beating:
        beating.execute(query("source.beat"))
    if pair.standby is not promoted:
        source.wait_for_replay()
    after = connections()
    result = refresh(after, source.options())
    assert any("timeline 2" in reason for reason in result.reconciled), result.reconciled
    assert source.rollup_errors(warehouse=warehouse) == {}
    assert one(warehouse, "SELECT count(*) FROM salespulse.fact_document") != documents
    assert one(warehouse, "SELECT count(*) FROM salespulse.continuity_event") == 1
    assert refresh(after, source.options()).reconciled == ()
    assert verify(after, source.options()).is_exact
    for connection in (warehouse, before.warehouse, after.warehouse):
        connection.close()


@pytest.fixture
def other_cluster(
    server_directory: Callable[[str], Path], retail_mapping: SourceMapping, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """A pair from an `initdb` of its own: servers that are cloned from one template count as one cluster."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(server_directory("salespulse-cache")))
    pair = PostgresPair.create(server_directory("salespulse-other-pair"))
    with pair.primary.connect() as connection:
        passwords = set_up_roles(connection)
    template = make_retail_template(pair, retail_mapping, passwords)
    pair.wait_for_replay()
    installation = Installation(Database(pair, template.name), retail_mapping, passwords)
    yield installation
    installation.close()
    pair.stop()


def test_a_replica_of_another_cluster_is_refused(
    installation: Installation, refreshed: Refreshed, other_cluster: Installation
) -> None:
    world = World()
    _sell_some(installation, world, 2)
    refreshed()
    foreign = Connections(
        other_cluster.route("salespulse_reader", server=other_cluster.pair.standby),
        installation.route("salespulse_pipeline"),
    )
    with pytest.raises(ForeignSourceError, match="belongs to cluster"):
        refresh(foreign, installation.options())
    assert installation.rollup_errors() == {}


def test_without_a_replica_the_primary_is_read_only_when_allowed(installation: Installation, tmp_path: Path) -> None:
    _sell_some(installation, World(), 2)
    urls = {"data_dir": tmp_path, "primary_url": installation.url("salespulse_pipeline")}
    with (
        pytest.raises(NoReplicaError, match="SALESPULSE_ALLOW_PRIMARY_READS"),
        open_connections(load_settings(**urls)),
    ):
        pass
    unreachable = {**urls, "replica_url": "postgresql://salespulse_reader:x@127.0.0.1:1/none"}
    with (
        pytest.raises(NoReplicaError, match="The last good tables stay"),
        open_connections(load_settings(**unreachable)),
    ):
        pass
    allowed = {**unreachable, "allow_primary_reads": True}
    with open_connections(load_settings(**allowed)) as opened:
        refresh(opened, installation.options())
    assert installation.rollup_errors() == {}
