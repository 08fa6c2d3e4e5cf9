"""A receiver on loopback, and a warehouse with two tenants."""

import os
from collections.abc import Callable, Iterator

import psycopg
import pytest

from background_jobs.webhooks import Sender, TargetPolicy, create_endpoint, list_deliveries
from dbconnect.routes import Connection, Row
from tests.background_jobs.webhooks.job_documents import OTHER_TENANT, TENANT, enqueue_document, job
from tests.background_jobs.webhooks.receiver import Receiver, receiving
from tests.warehouse import Installation

LOOPBACK = TargetPolicy.allowing(["127.0.0.0/8"])


@pytest.fixture(autouse=True)
def _own_settings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SALESPULSE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def sender() -> Sender:
    """A sender that may reach loopback; its timeout is for hangs."""
    return Sender(LOOPBACK, timeout_s=60)


@pytest.fixture
def warehouse(installation: Installation) -> Connection:
    """As the pipeline's role, with the two tenants known."""
    connection = installation.route("salespulse_pipeline")
    for tenant in (TENANT, OTHER_TENANT):
        connection.execute(
            "INSERT INTO salespulse.dim_tenant (tenant_id, name) VALUES (%s, %s)", [tenant, f"{tenant}'s"]
        )
    return connection


@pytest.fixture
def dashboard(installation: Installation) -> Iterator[psycopg.Connection]:
    with psycopg.connect(installation.url("salespulse_dashboard"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def endpoint(warehouse: Connection, receiver: Receiver) -> tuple[int, str]:
    return create_endpoint(warehouse, TENANT, receiver.url("/hook"), policy=LOOPBACK)


@pytest.fixture
def delivery(warehouse: Connection, endpoint: tuple[int, str]) -> Callable[[], Row]:
    """One delivery that is due; a function that returns its row."""
    enqueue_document(warehouse, job())

    def read() -> Row:
        [row] = list_deliveries(warehouse)
        return row

    return read
