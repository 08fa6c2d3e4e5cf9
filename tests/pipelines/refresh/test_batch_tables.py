"""The batch's temporary tables stay with the session: what an earlier user of it left there is never counted."""

from collections.abc import Callable

import pytest

from pipelines.refresh import Connections, RefreshResult, refresh
from pipelines.refresh.copy_stream import array_literal
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import World, return_half, seed, sell
from tests.warehouse import Installation, one

Refreshed = Callable[..., RefreshResult]


@pytest.fixture
def world(installation: Installation) -> tuple[Session, World]:
    session, world = Session(installation), World()
    session.run(world, seed, 0, 0, 0)
    for number in range(4):
        session.run(world, sell, number, number + 1, number + 2)
    session.run(world, return_half, 1, 1, 1)
    return session, world


@pytest.mark.parametrize("name", ["stage_document", "delta_line"])
def test_tables_of_an_older_version(
    installation: Installation,
    connections: Connections,
    refreshed: Refreshed,
    world: tuple[Session, World],
    name: str,
) -> None:
    """Behind a transaction pooler a session outlives the program that made its tables."""
    connections.warehouse.execute(f"CREATE TEMP TABLE {name} (ordinal integer, cents bigint)".encode())
    connections.warehouse.execute(f"COMMENT ON TABLE pg_temp.{name} IS 'an older version'".encode())
    connections.warehouse.execute(f"INSERT INTO {name} VALUES (1, 100)".encode())
    refreshed()
    assert installation.rollup_errors() == {}


@pytest.mark.parametrize("step", ["stage", "resolve", "facts", "state"])
def test_rows_of_a_batch_that_failed(
    installation: Installation,
    connections: Connections,
    refreshed: Refreshed,
    world: tuple[Session, World],
    step: str,
) -> None:
    class CrashError(Exception):
        pass

    def at(ended: str) -> None:
        if ended == step:
            raise CrashError

    refreshed()
    session, shops = world
    session.run(shops, sell, 7, 8, 9)
    installation.wait_for_replay()
    with pytest.raises(CrashError):
        refresh(connections, installation.options(), at=at)
    refreshed()
    assert installation.rollup_errors() == {}
    for name in (
        "stage_document",
        "stage_line",
        "stage_payment",
        "old_document",
        "new_document",
        "delta_line",
        "delta_payment",
    ):
        assert one(connections.warehouse, f"SELECT count(*) FROM pg_temp.{name}") == 0


def test_keys_that_an_array_must_quote(connections: Connections) -> None:
    keys = ['a"b', "c\\d", "{e,f}", "NULL", "", " g ", "ü\n"]
    row = connections.warehouse.execute("SELECT %s::text[] AS keys", [array_literal(keys)]).fetchone()
    assert row is not None
    assert row["keys"] == keys
