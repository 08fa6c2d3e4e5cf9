"""Transactions of the application that are hard to follow: long, nested, prepared, huge, cascading."""

from collections.abc import Callable

import pytest

from pipelines.refresh import Connections, RefreshResult, read_state, refresh
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import World, return_half, seed, sell
from tests.warehouse import Installation, one

Refreshed = Callable[..., RefreshResult]


@pytest.fixture
def world(installation: Installation, refreshed: Refreshed) -> World:
    """Some tenants with a few sales, refreshed."""
    world, session = World(), Session(installation)
    session.run(world, seed, 0, 0, 0)
    for number in range(6):
        session.run(world, sell, number, number + 1, number + 2)
        session.run(world, return_half, number, number, number)
    refreshed()
    assert installation.rollup_errors() == {}
    return world


def test_a_transaction_held_open_is_neither_missed_nor_does_it_repeat_the_others(
    installation: Installation, connections: Connections, refreshed: Refreshed, world: World
) -> None:
    open_session, other = Session(installation), Session(installation)
    open_session.begin()
    open_session.run(world, sell, 1, 2, 3)
    documents = []
    for number in range(12):
        other.run(world, sell, number, 1, 2)
        documents.append(refreshed().applied.documents)
        assert installation.rollup_errors() == {}
    assert documents == [1] * 12, "each refresh looks at the one new sale, not at all since the open transaction began"
    assert refreshed().applied.documents == 0
    open_session.commit()
    assert refreshed().applied.documents == 1
    assert installation.rollup_errors() == {}
    refreshed()
    state = read_state(connections.warehouse)
    assert state is not None
    assert state.seen == frozenset(), "what was remembered is forgotten once the horizon has passed it"


def test_more_savepoints_than_a_snapshot_can_hold(
    installation: Installation, refreshed: Refreshed, world: World
) -> None:
    nested, other = Session(installation), Session(installation)
    nested.begin()
    for number in range(150):
        nested.savepoint()
        nested.run(world, sell, number, number, number)
        if number % 3 == 0:
            nested.rollback_to()
        if number % 25 == 0:
            other.run(world, sell, number, 2, 1)
            refreshed()
            assert installation.rollup_errors() == {}
    nested.commit()
    refreshed()
    assert installation.rollup_errors() == {}


@pytest.mark.parametrize("commits", [True, False])
def test_a_prepared_transaction_counts_when_it_is_committed(
    installation: Installation, refreshed: Refreshed, world: World, commits: bool
) -> None:
    session = Session(installation)
    session.begin()
    session.run(world, sell, 5, 5, 5)
    assert session.prepare(f"gid-{commits}")
    assert refreshed().applied.documents == 0
    session.run(world, sell, 6, 6, 6)
    assert refreshed().applied.documents == 1
    session.finish(f"gid-{commits}", commit=commits)
    assert refreshed().applied.documents == int(commits)
    assert installation.rollup_errors() == {}


def test_one_statement_over_200_000_items_is_applied_in_bounded_batches(
    installation: Installation, connections: Connections, world: World
) -> None:
    application = installation.application()
    with application.transaction():
        application.execute(
            "INSERT INTO retail.sales (id, tenant_id, store_id, receipt_number, sold_at) SELECT 'bulk' || n, '1', "
            "(ARRAY['11', '12'])[1 + n % 2], n, '2025-03-01 09:00+00'::timestamptz + n * interval '7 minutes' "
            "FROM generate_series(1, 10000) AS n"
        )
        application.execute(
            "INSERT INTO retail.sale_items (sale_id, product_id, quantity, unit_price) "
            "SELECT 'bulk' || n, (ARRAY['1001', '1002', '1003'])[1 + i % 3], i, 0.25 * (n % 100) "
            "FROM generate_series(1, 10000) AS n, generate_series(1, 20) AS i"
        )
    installation.wait_for_replay()
    steps: list[int] = []
    result = refresh(
        connections,
        installation.options(batch_documents=3000),
        progress=lambda so_far: steps.append(so_far.applied.documents),
    )
    assert result.applied.documents == 10_000
    assert result.applied.lines == 200_000
    assert max(after - before for before, after in zip([0, *steps], steps, strict=False)) <= 3000
    installation.admin().execute("ANALYZE")
    assert installation.rollup_errors() == {}


def test_deletes_that_cascade(installation: Installation, refreshed: Refreshed, world: World) -> None:
    application, admin = installation.application(), installation.admin()
    for statement in (
        "DELETE FROM retail.customers",
        "DELETE FROM retail.products WHERE tenant_id = '1'",
        "DELETE FROM retail.stores WHERE id = '11'",
        "DELETE FROM retail.tenants WHERE id = '2'",
        "DELETE FROM retail.sale_items",
    ):
        application.execute(statement.encode())
        refreshed()
        assert installation.rollup_errors() == {}, statement
    application.execute("DELETE FROM retail.tenants")
    refreshed()
    for table in ("daily_store_sales", "daily_product_sales", "fact_document", "fact_document_line"):
        assert one(admin, f"SELECT count(*) FROM salespulse.{table}") == 0


def test_truncate_of_everything(installation: Installation, refreshed: Refreshed, world: World) -> None:
    application, session = installation.application(), Session(installation)
    application.execute("TRUNCATE retail.tenants CASCADE")
    refreshed()
    assert one(installation.admin(), "SELECT count(*) FROM salespulse.fact_document") == 0
    session.run(world, seed, 0, 0, 0)
    session.run(world, sell, 1, 1, 2)
    refreshed()
    assert one(installation.admin(), "SELECT count(*) FROM salespulse.fact_document") == 1
    assert installation.rollup_errors() == {}


def test_truncate_and_new_sales_in_one_transaction(
    installation: Installation, refreshed: Refreshed, world: World
) -> None:
    session = Session(installation)
    session.begin()
    session.connection.execute("TRUNCATE retail.sales CASCADE")
    session.run(world, sell, 3, 2, 1)
    session.commit()
    refreshed(batch_documents=1)
    assert installation.rollup_errors() == {}
    assert one(installation.admin(), "SELECT count(*) FROM salespulse.fact_document") == 1
