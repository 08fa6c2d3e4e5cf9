"""A fresh database, an upgraded one, and one with sales before the install end up the same."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.migrate import MIGRATION_SETS, migrate
from pipelines.refresh import refresh
from pipelines.source import install_source, load_mapping
from tests.expected_rollups import Rollup
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import World, add_orphan_line, return_half, seed, sell
from tests.servers import Database, fresh_database
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation, grant_application, install_truth
from tests.warehouse_rows import all_rollup_rows

SHOP = Path(__file__).parents[1] / "source" / "shop"


@pytest.fixture
def bare(postgres_pair: PostgresPair, role_passwords: dict[str, str]) -> Iterator[Callable[[], Installation]]:
    """Makes databases that hold the shop and nothing of Salespulse."""
    installations: list[Installation] = []

    def make() -> Installation:
        name = fresh_database(postgres_pair)
        installations.append(Installation(Database(postgres_pair, name), load_mapping(str(SHOP)), role_passwords))
        with postgres_pair.primary.connect(name) as connection:
            connection.execute((SHOP / "application.sql").read_bytes())
            grant_application(connection, "shop")
        install_truth(installations[-1])
        return installations[-1]

    yield make
    for installation in installations:
        installation.close()
        postgres_pair.drop_database(installation.database.name)


def _sell(installation: Installation, world: World, numbers: range) -> None:
    session = Session(installation)
    session.run(world, seed, 0, 0, 0)
    for number in numbers:
        for operation in (sell, return_half, add_orphan_line):
            session.run(world, operation, number, number + 1, number + 2)


def _migrate(installation: Installation, *, up_to: int | None = None) -> None:
    with installation.pair.primary.connect(installation.database.name) as connection:
        for migration_set in MIGRATION_SETS:
            migrate(connection, migration_set)
        install_source(connection, installation.mapping)


def _result(installation: Installation) -> dict[str, Rollup]:
    installation.wait_for_replay()
    refresh(installation.connections(), installation.options(batch_documents=7))
    assert installation.rollup_errors() == {}
    return all_rollup_rows(installation.admin())


def test_installed_before_between_and_after_the_sales(
    bare: Callable[[], Installation], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, last = range(8), range(8, 16)
    fresh, between, after = bare(), bare(), bare()

    _migrate(fresh)
    world = World()
    _sell(fresh, world, first)
    _sell(fresh, world, last)

    # Upgraded: the first file of each set with the application at work, the rest later.
    world = World()
    _migrate_first_files(between, tmp_path, monkeypatch)
    _sell(between, world, first)
    _migrate(between)
    _sell(between, world, last)

    world = World()
    _sell(after, world, first)
    _sell(after, world, last)
    _migrate(after)

    results = [_result(each) for each in (fresh, between, after)]
    assert results[0] == results[1] == results[2]
    assert results[0]["daily_store_sales"]


def _migrate_first_files(installation: Installation, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dbsql import sql_root

    for migration_set in MIGRATION_SETS:
        path = min((sql_root() / "migrations" / migration_set).glob("*.sql"))
        target = folder / "migrations" / migration_set / path.name
        target.parent.mkdir(parents=True)
        target.write_bytes(path.read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.migrate.sql_root", lambda: folder)
        _migrate(installation)
