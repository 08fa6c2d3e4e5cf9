"""Dagster in this process, on an instance of its own; the databases are the real pair, cloned with sales in them."""

import os
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import dagster as dg
import psycopg
import pytest

from pipelines.definitions import defs
from pipelines.refresh import refresh
from pipelines.resources import Primary, Replica, Warehouse
from sample_app.synthetic import generate
from tests.servers import fresh_database
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation, Template, clone, discard

LAST_DAY = date(2026, 3, 31)
SALES = 300

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture(scope="session")
def sales_template(postgres_pair: PostgresPair, retail_template: Template) -> Template:
    """The installed application with two synthetic tenants and 60 days of sales, never refreshed."""
    name = fresh_database(postgres_pair, template=retail_template.name)
    with postgres_pair.primary.connect(name) as connection:
        generate(connection, tenants=2, sales=SALES, days=60, stores=2, products=20, customers=30, last_day=LAST_DAY)
    return Template(name, retail_template.mapping, retail_template.passwords)


@pytest.fixture(scope="session")
def current_template(postgres_pair: PostgresPair, sales_template: Template) -> Template:
    """The same, with facts and rollups up to date."""
    installation = clone(postgres_pair, sales_template)
    installation.wait_for_replay()
    refresh(installation.connections(), installation.options())
    installation.close()
    return Template(installation.database.name, installation.mapping, installation.passwords)


@pytest.fixture
def shop(
    postgres_pair: PostgresPair, sales_template: Template, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """A clone with sales that were never refreshed, and the settings pointing at it."""
    installation = clone(postgres_pair, sales_template)
    point_at(installation, monkeypatch)
    yield installation
    discard(installation)


@pytest.fixture
def current_shop(
    postgres_pair: PostgresPair, current_template: Template, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """A clone with sales and with facts up to date, and the settings pointing at it."""
    installation = clone(postgres_pair, current_template)
    point_at(installation, monkeypatch)
    yield installation
    discard(installation)


def point_at(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an installation's URLs into the settings, as production has them."""
    for name in [name for name in os.environ if name.startswith("SALESPULSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SALESPULSE_DATA_DIR", "/nonexistent")
    monkeypatch.setenv(
        "SALESPULSE_REPLICA_URL", installation.url("salespulse_reader", server=installation.pair.standby)
    )
    monkeypatch.setenv("SALESPULSE_PRIMARY_URL", installation.url("salespulse_pipeline"))
    monkeypatch.setenv("SALESPULSE_LOCK_WAIT_SECONDS", "5")
    installation.wait_for_replay()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as dagster_instance:
        yield dagster_instance


@pytest.fixture
def run(instance: dg.DagsterInstance, postgres_pair: PostgresPair) -> Run:
    """Run a job by name in this process, once the standby has caught up."""

    def execute(job: str, **arguments: Any) -> dg.ExecuteInProcessResult:
        postgres_pair.wait_for_replay()
        return defs.resolve_job_def(job).execute_in_process(instance=instance, **arguments)

    return execute


@pytest.fixture
def routes() -> dict[str, Any]:
    """The resources, as a sensor or an asset takes them."""
    return {"replica": Replica(), "warehouse": Warehouse(), "primary": Primary()}


def metadata_of(result: dg.ExecuteInProcessResult, table: str) -> dict[str, Any]:
    """The metadata values of a table's materialisation."""
    (event,) = [
        each.materialization
        for each in result.get_asset_materialization_events()
        if each.materialization.asset_key.path[-1] == table
    ]
    return {name: value.value for name, value in event.metadata.items()}


def change_a_sale(connection: psycopg.Connection[Any], **changes: Any) -> str:
    """Edit a quantity in some counted sale; give its id."""
    row = connection.execute(
        "UPDATE retail.sale_items SET quantity = quantity + 1 WHERE id = ("
        "SELECT i.id FROM retail.sale_items AS i JOIN retail.sales AS s ON s.id = i.sale_id "
        "WHERE s.status = 'completed' AND s.deleted_at IS NULL ORDER BY i.id LIMIT 1) RETURNING sale_id"
    ).fetchone()
    assert row is not None
    return str(row[0])
