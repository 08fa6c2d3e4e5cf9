"""Whoever keeps an answer by its tenant's version learns that repair or rebuild set one of the tenant's figures right."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

import pytest

from pipelines.refresh import Connections, RefreshResult
from pipelines.refresh.rollups import all_rollups, rollup_named
from pipelines.verification import rebuild_rollup, verify
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import World, seed, sell
from tests.warehouse import Installation, one

SetRight: TypeAlias = Callable[[Installation, Connections], object]


def _repair(installation: Installation, connections: Connections) -> object:
    return verify(connections, installation.options(), repair=True)


def _rebuild(installation: Installation, connections: Connections) -> object:
    return [rebuild_rollup(connections, installation.options(), rollup) for rollup in all_rollups()]


@pytest.mark.parametrize("set_right", [_repair, _rebuild])
@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE salespulse.monthly_product_sales SET units = units + 1 WHERE tenant_key = {key}",
        "DELETE FROM salespulse.hourly_store_sales WHERE tenant_key = {key}",
        "UPDATE salespulse.daily_payment_sales SET payment_method = payment_method || '?' WHERE tenant_key = {key}",
    ],
)
def test_only_the_tenant_whose_rows_were_wrong_gets_a_new_version(
    installation: Installation,
    connections: Connections,
    refreshed: Callable[..., RefreshResult],
    spoil: str,
    set_right: SetRight,
) -> None:
    world, session, admin = World(), Session(installation), installation.admin()
    session.run(world, seed, 0, 0, 0)
    for number in range(6):
        session.run(world, sell, number, number + 1, number + 2)
    refreshed()
    key = one(admin, "SELECT tenant_key FROM salespulse.dim_tenant WHERE tenant_id = '1'")
    before = _versions(installation)
    assert len(before) == 2
    assert admin.execute(spoil.format(key=key).encode()).rowcount, "there was a row to spoil"
    set_right(installation, connections)
    assert installation.rollup_errors() == {}
    after = _versions(installation)
    assert {tenant for tenant in before if after[tenant] > before[tenant]} == {key}
    set_right(installation, connections)
    assert _versions(installation) == after, "nothing was wrong any more"


def test_a_rebuilt_rollup_of_no_rows_changes_nobody(installation: Installation, connections: Connections) -> None:
    assert rebuild_rollup(connections, installation.options(), rollup_named("daily_store_sales")) == 0
    assert _versions(installation) == {}


def _versions(installation: Installation) -> dict[int, datetime]:
    return dict(installation.admin().execute("SELECT tenant_key, changed_at FROM salespulse.tenant_version").fetchall())
