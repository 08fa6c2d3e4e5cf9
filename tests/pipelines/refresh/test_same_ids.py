"""The same id in two scopes: of two tenants, and of both kinds of document."""

from collections.abc import Callable

import pytest

from pipelines.refresh import RefreshResult
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import World, seed, sell
from tests.warehouse import Installation, install_truth

Refreshed = Callable[..., RefreshResult]


@pytest.fixture
def session(installation: Installation) -> Session:
    install_truth(installation)
    session = Session(installation)
    session.run(World(), seed, 0, 0, 0)
    return session


def _quarantined(installation: Installation) -> list[tuple[str, str, str]]:
    rows = installation.admin().execute(
        "SELECT document_kind, document_id, reason FROM salespulse.quarantined_document ORDER BY document_kind"
    )
    return rows.fetchall()


def test_a_sale_in_another_tenants_store_is_not_counted(
    installation: Installation, refreshed: Refreshed, session: Session
) -> None:
    world = World()
    session.run(world, sell, 0, 0, 1)
    refreshed()
    for tenant, waiting in (("2", [("sale", world.sales[0], "unknown store")]), ("1", [])):
        move = {"sale": world.sales[0], "tenant": tenant, "store": "11"}
        session.connection.execute(session.statements["move_sale"], move)
        refreshed()
        assert _quarantined(installation) == waiting
        assert installation.rollup_errors() == {}


@pytest.mark.parametrize("kind", ["sale", "return"])
def test_a_document_is_released_by_itself_alone(
    installation: Installation, refreshed: Refreshed, session: Session, kind: str
) -> None:
    """Sale 77 and return 77 are two documents: mending one leaves the other in quarantine."""
    for number, table, moment in ((1, "sales", "sold_at"), (2, "sales_returns", "returned_at")):
        session.connection.execute(
            f"INSERT INTO retail.{table} (id, tenant_id, store_id, receipt_number, {moment}) "
            f"VALUES ('77', '1', '21', {number}, '2025-03-01')".encode()
        )
    refreshed()
    both = [("return", "77", "unknown store"), ("sale", "77", "unknown store")]
    assert _quarantined(installation) == both
    table = {"sale": "sales", "return": "sales_returns"}[kind]
    session.connection.execute(f"UPDATE retail.{table} SET store_id = '11' WHERE id = '77'".encode())
    refreshed()
    assert _quarantined(installation) == [row for row in both if row[0] != kind]
    assert installation.rollup_errors() == {}
