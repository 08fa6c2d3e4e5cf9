"""A receiver on loopback, and a warehouse with two tenants."""

import os
from collections.abc import Iterator

import psycopg
import pytest

from connect.routes import Connection
from ratelimit_service.webhooks import Sender, TargetPolicy
from tests.jobs.webhooks.receiver import Receiver, receiving
from tests.warehouse import Installation

TENANT, OTHER_TENANT = "north", "south"
LOOPBACK = TargetPolicy.allowing(["127.0.0.0/8"])


@pytest.fixture(autouse=True)
def _own_settings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SALESPULSE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def sender() -> Sender:
    """May go to loopback; its time is for hangs."""
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
