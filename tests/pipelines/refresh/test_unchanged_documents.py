"""A document that is what was last applied is left alone, and its tenant keeps its version; whatever differs in anything is not."""

from collections.abc import Callable
from datetime import datetime

import pytest

from dbsql import FIRST_DATE, LAST_DATE
from pipelines.refresh import Connections, RefreshResult, enqueue_range
from sample_app.synthetic import generate
from tests.warehouse import Installation, one

Refreshed = Callable[..., RefreshResult]
# Each changes one sale in what its line says, and nothing else that the facts have of it, or of any other.
CHANGES = {
    "a payment's method": "UPDATE retail.payments SET method = method || '?' WHERE sale_id = {sale}",
    "a line's product": "UPDATE retail.sale_items SET product_id = (SELECT min(p.id) FROM retail.products AS p "
    "WHERE p.tenant_id = (SELECT s.tenant_id FROM retail.sales AS s WHERE s.id = {sale}) AND p.id <> product_id) "
    "WHERE sale_id = {sale}",
    "its moment within the hour": "UPDATE retail.sales SET sold_at = date_trunc('hour', sold_at) + interval '7 minutes' WHERE id = {sale}",
    "its customer": "UPDATE retail.sales SET customer_id = NULL WHERE id = {sale}",
}


@pytest.fixture
def shop(installation: Installation, refreshed: Refreshed) -> Installation:
    with installation.admin() as connection:
        generate(connection, tenants=2, sales=120, days=30, products=9, customers=12)
    refreshed()
    return installation


def versions(installation: Installation) -> dict[int, datetime]:
    return dict(installation.admin().execute("SELECT tenant_key, changed_at FROM salespulse.tenant_version").fetchall())


def queue_everything(installation: Installation, connections: Connections) -> int:
    return enqueue_range(
        connections,
        installation.mapping,
        from_date=FIRST_DATE,
        to_date=LAST_DATE,
        reason="backfill",
        is_whole=True,
    )


def test_a_backfill_of_what_is_applied_already_writes_nothing(
    shop: Installation, connections: Connections, refreshed: Refreshed
) -> None:
    before, facts = (
        versions(shop),
        shop.admin().execute("SELECT ctid, f.* FROM salespulse.fact_document AS f").fetchall(),
    )
    queued = queue_everything(shop, connections)
    assert queued > 100
    result = refreshed()
    assert result.applied.documents == queued
    assert sum(result.applied.rows_written.values()) == 0, result.applied.rows_written
    assert versions(shop) == before
    assert shop.admin().execute("SELECT ctid, f.* FROM salespulse.fact_document AS f").fetchall() == facts
    assert shop.rollup_errors() == {}


@pytest.mark.parametrize("what", CHANGES)
def test_the_one_that_differs_is_applied_among_all(
    shop: Installation, connections: Connections, refreshed: Refreshed, what: str
) -> None:
    admin = shop.admin()
    sale = one(
        admin,
        "SELECT min(s.id) FROM retail.sales AS s JOIN retail.sale_items AS i ON i.sale_id = s.id "
        "WHERE s.customer_id IS NOT NULL AND i.product_id IS NOT NULL AND EXISTS (SELECT FROM retail.payments AS p WHERE p.sale_id = s.id)",
    )
    tenant = one(
        admin,
        f"SELECT t.tenant_key FROM salespulse.dim_tenant AS t JOIN retail.sales AS s ON s.tenant_id = t.tenant_id WHERE s.id = '{sale}'",
    )
    before = versions(shop)
    assert admin.execute(CHANGES[what].format(sale=f"'{sale}'").encode()).rowcount
    queue_everything(shop, connections)
    result = refreshed()
    assert result.applied.rows_written["fact_document"] == 1, result.applied.rows_written
    assert shop.rollup_errors() == {}
    after = versions(shop)
    assert {key for key in before if after[key] > before[key]} == {tenant}
