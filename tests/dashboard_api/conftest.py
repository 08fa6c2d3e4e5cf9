"""A shop with three tenants and one empty one, refreshed, and the API serving it over HTTP on a free port."""

import os
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import httpx
import pytest

from dbconnect import Settings
from pipelines.refresh import RefreshResult, refresh
from sample_app.synthetic import generate
from tests.dashboard_api.browser import browser, visit  # noqa: F401 - fixtures
from tests.dashboard_api.server import SECRET, Api, dashboard_settings, heartbeats, serve, token_for
from tests.servers import redis_servers
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation, Template, answers, clone, discard

LAST_DAY = date(2025, 6, 30)
EMPTY_TENANT = "tenant-without-sales"
UNLIMITED = '[policies.default]\nlimits = ["1000000/minute per user"]\n'


class Shop:
    """The database behind the API.

    Attributes:
        tenants: ids, the largest first.
        stores: tenant id to its store ids.
    """

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        with installation.admin() as connection:
            generate(connection, tenants=3, sales=3_000, days=420, products=40, customers=60, last_day=LAST_DAY)
            connection.execute(
                "INSERT INTO retail.tenants (id, name, timezone) VALUES (%s, 'New shop', 'UTC')", [EMPTY_TENANT]
            )
            connection.execute(
                "INSERT INTO retail.stores (id, tenant_id, name) VALUES ('first-store', %s, 'First store')",
                [EMPTY_TENANT],
            )
            rows = connection.execute(
                "SELECT t.id, array_agg(s.id ORDER BY s.id) FROM retail.tenants AS t JOIN retail.stores AS s"
                " ON s.tenant_id = t.id WHERE t.id <> %s GROUP BY t.id"
                " ORDER BY (SELECT count(*) FROM retail.sales AS x WHERE x.tenant_id = t.id) DESC",
                [EMPTY_TENANT],
            ).fetchall()
        self.tenants = [row[0] for row in rows]
        self.stores: dict[str, list[str]] = dict(rows)
        self._connections = installation.connections()
        self.refresh()

    @property
    def tenant(self) -> str:
        return self.tenants[0]

    def refresh(self) -> RefreshResult:
        """Apply what changed, and wait until the standby shows it."""
        self.installation.wait_for_replay()
        connections = self._connections
        # The shop may outlive a server that a test of another file has killed meanwhile.
        if not all(
            answers(connection)
            for connection in (connections.replica, connections.warehouse, connections.primary)
            if connection
        ):
            self._connections = self.installation.connections()
        result = refresh(self._connections, self.installation.options())
        self.installation.wait_for_replay()
        return result

    def sell(self, tenant: str, sale: str) -> None:
        """Sell two of a product at 10.125, in the tenant's first store, in the middle of the last month."""
        with self.installation.application() as connection, connection.transaction():
            connection.execute(
                "INSERT INTO retail.sales (id, tenant_id, store_id, receipt_number, sold_at)"
                " VALUES (%s, %s, %s, %s, '2025-06-15 12:00+00')",
                [sale, tenant, self.stores[tenant][0], sale],
            )
            connection.execute(
                "INSERT INTO retail.sale_items (sale_id, product_id, quantity, unit_price)"
                " SELECT %s, id, 2, 10.125 FROM retail.products WHERE tenant_id = %s ORDER BY id LIMIT 1",
                [sale, tenant],
            )

    def query(self, statement: str, *parameters: Any) -> list[Any]:
        """Plain SQL over the application's tables, as the superuser."""
        with self.installation.admin() as connection:
            return connection.execute(statement.encode(), parameters or None).fetchall()


@pytest.fixture(scope="session", autouse=True)
def _own_settings_only() -> Iterator[None]:
    """A developer's environment may point at a running stack; these tests are about their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SALESPULSE_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def shop(postgres_pair: PostgresPair, retail_template: Template) -> Iterator[Shop]:
    installation = clone(postgres_pair, retail_template)
    try:
        with heartbeats(installation):
            yield Shop(installation)
    finally:
        discard(installation)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_servers.one(tmp_path_factory.mktemp("redis")) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(scope="session")
def api_settings(shop: Shop, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    """Settings of an API over the shop; nothing is read from the environment."""
    policies = tmp_path_factory.mktemp("policies") / "unlimited.toml"
    policies.write_text(UNLIMITED)

    def make(**changes: Any) -> Settings:
        values = {"jwt_secret": SECRET, "redis_url": redis_url, "ratelimit_policies": policies, **changes}
        return dashboard_settings(shop.installation, **values)

    return make


@pytest.fixture(scope="session")
def api(api_settings: Callable[..., Settings]) -> Iterator[Api]:
    with serve(api_settings()) as api:
        yield api


@pytest.fixture
def client(api: Api, shop: Shop) -> Iterator[httpx.Client]:
    """The largest tenant's owner."""
    with api.client(token_for(shop.tenant)) as client:
        yield client
