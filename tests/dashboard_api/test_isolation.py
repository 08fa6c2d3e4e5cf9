"""No tenant ever sees another's figures: by the database's policies, by the API, under load, with hostile input."""

import asyncio
import random
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest

from tests.dashboard_api.conftest import EMPTY_TENANT, Shop
from tests.dashboard_api.server import DASHBOARD, Api, token_for

TABLES = (
    "dim_tenant",
    "dim_store",
    "dim_product",
    "dim_customer",
    "daily_store_sales",
    "hourly_store_sales",
    "daily_product_sales",
    "monthly_product_sales",
    "daily_customer_sales",
    "monthly_customer_sales",
    "daily_payment_sales",
    "tenant_version",
)
HOSTILE = (
    "' OR '1'='1",
    "'; DROP TABLE salespulse.daily_store_sales; --",
    "1); SELECT set_config('salespulse.tenant_key', '1', false); --",
    "$$; RESET ALL; $$",
    "%s %(tenant_key)s {relation}",
    "\\'; SELECT pg_sleep(10); --",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\x00",
    "\u202e\u0000x",
    "💥" * 40,
    "a" * 5_000,
    "NaN",
    "-1",
    "99999999999999999999",
    "0001-01-01",
    "infinity",
)


@pytest.fixture
def role(shop: Shop) -> psycopg.Connection[tuple[Any, ...]]:
    """The API's own role, on the primary, where it could write if it might."""
    return shop.installation._keep(psycopg.connect(shop.installation.url(DASHBOARD)))


@pytest.mark.parametrize("table", TABLES)
def test_the_role_reads_nothing_without_a_tenant_and_one_tenant_with(
    role: psycopg.Connection[tuple[Any, ...]], table: str
) -> None:
    def keys() -> set[int]:
        return {row[0] for row in role.execute(f"SELECT DISTINCT tenant_key FROM salespulse.{table}".encode())}

    assert keys() == set()
    for tenant_key in (1, 2, 3):
        role.execute("SELECT set_config('salespulse.tenant_key', %s, true)", [str(tenant_key)])
        assert keys() == {tenant_key}
    role.rollback()
    assert keys() == set(), "the tenant ends with its transaction"


def test_no_tenant_value_opens_every_row(role: psycopg.Connection[tuple[Any, ...]]) -> None:
    for value in ("", "0", "-1", "2147483647"):
        role.execute("SELECT set_config('salespulse.tenant_key', %s, true)", [value])
        assert role.execute("SELECT count(*) FROM salespulse.daily_store_sales").fetchone() == (0,)
    for value in ("1 OR true", "NULL", "1,2", "*", "{1,2}"):
        role.execute("SELECT set_config('salespulse.tenant_key', %s, true)", [value])
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            role.execute("SELECT count(*) FROM salespulse.daily_store_sales")
        role.rollback()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM retail.sales",
        "SELECT * FROM salespulse.fact_document",
        "SELECT * FROM salespulse.api_key",
        "SELECT * FROM salespulse_source.change_log",
        "INSERT INTO salespulse.tenant_version VALUES (1, now())",
        "UPDATE salespulse.daily_store_sales SET units = 0",
        "DELETE FROM salespulse.daily_store_sales",
        "TRUNCATE salespulse.daily_store_sales",
        "SET ROLE salespulse_pipeline",
        "ALTER TABLE salespulse.daily_store_sales DISABLE ROW LEVEL SECURITY",
        "CREATE TABLE salespulse.mine ()",
        "COPY salespulse.daily_store_sales TO PROGRAM 'true'",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_the_role_may_do_nothing_else(role: psycopg.Connection[tuple[Any, ...]], statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        role.execute(statement.encode())


def test_row_security_can_not_be_switched_off(role: psycopg.Connection[tuple[Any, ...]]) -> None:
    role.execute("SET row_security = off")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        role.execute("SELECT * FROM salespulse.daily_store_sales")


def test_another_tenants_store_is_404_like_one_that_is_not_there(client: httpx.Client, shop: Shop) -> None:
    foreign = shop.stores[shop.tenants[1]][0]
    answers = []
    for store in (foreign, "no-such-store"):
        response = client.get("/api/dashboard/sales-summary", params={"store": store})
        assert response.status_code == 404
        problem = response.json()
        assert problem.pop("request_id")
        answers.append((problem.pop("detail").replace(store, "…"), problem))
    assert answers[0] == answers[1], "nothing tells whether another tenant has it"
    own = shop.stores[shop.tenant][0]
    assert client.get("/api/dashboard/sales-summary", params={"store": [own, foreign]}).status_code == 404


PARAMETERS = {
    "sales-summary": ("from", "to", "store", "format", "tenant", "tenant_key"),
    "trend": ("granularity", "store"),
    "top-products": ("sort", "limit", "offset", "store"),
    "top-customers": ("sort", "limit", "offset"),
    "stores": ("limit", "offset", "store"),
    "overview": ("from", "to", "store"),
}


@pytest.mark.parametrize(("report", "name"), [(report, name) for report, names in PARAMETERS.items() for name in names])
def test_hostile_parameters_are_refused_by_name(client: httpx.Client, report: str, name: str) -> None:
    for value in HOSTILE:
        response = client.get(f"/api/dashboard/{report}?{name}={quote(value)}")
        if name == "store" and response.status_code == 404:
            assert response.json()["type"] == "/problems/store-not-found"
            continue
        assert response.status_code == 422, (value, response.text)
        assert response.headers["content-type"] == "application/problem+json"
        assert any(error["field"].startswith(name) for error in response.json()["errors"])


def test_the_tables_are_still_there(client: httpx.Client) -> None:
    assert client.get("/api/dashboard/sales-summary").json()["totals"]["sale_count"] > 0


def test_hostile_headers_are_refused(api: Api) -> None:
    with api.client() as client:
        for value in (b"Bearer \xff\xfe", b"Bearer ' OR 1=1 --", b"bearer\t", b"\x01"):
            try:
                response = client.get("/api/me", headers={"Authorization": value})
            except (httpx.LocalProtocolError, httpx.RemoteProtocolError):
                continue
            assert response.status_code in {400, 401}


async def test_many_tenants_at_once_see_their_own_rows_only(api: Api, shop: Shop) -> None:
    """More questions at once than there are pooled connections, cached and not: each answer is its tenant's."""
    tenants = [*shop.tenants, EMPTY_TENANT]
    reports = ("sales-summary", "top-products", "stores", "top-customers", "overview")
    chance = random.Random(7)

    async with httpx.AsyncClient(base_url=api.url, timeout=120) as client:

        async def ask(tenant: str, report: str, days: int) -> tuple[str, str, int, dict[str, Any]]:
            response = await client.get(
                f"/api/dashboard/{report}",
                params={"from": f"2025-05-{days:02}", "to": "2025-06-30"},
                headers={"Authorization": f"Bearer {token_for(tenant)}"},
            )
            assert response.status_code == 200, response.text
            return tenant, report, days, response.json()

        questions = [(chance.choice(tenants), chance.choice(reports), chance.randint(1, 9)) for _ in range(400)]
        answers = await asyncio.gather(*(ask(*question) for question in questions))

    products = {
        tenant: {row[0] for row in shop.query("SELECT id FROM retail.products WHERE tenant_id = %s", tenant)}
        for tenant in tenants
    }
    stores = {**shop.stores, EMPTY_TENANT: ["first-store"]}
    same: dict[tuple[str, str, int], Any] = {}
    for tenant, report, days, document in answers:
        assert {row["product_id"] for row in document.get("products", ())} <= products[tenant]
        assert {row["store_id"] for row in document.get("stores", ())} <= set(stores[tenant])
        figures = {name: value for name, value in document.items() if name not in {"as_of", "staleness_s", "is_stale"}}
        assert same.setdefault((tenant, report, days), figures) == figures
        if tenant == EMPTY_TENANT and "totals" in document:
            assert document["totals"]["sale_count"] == 0
    distinct = {
        report: {str(each) for (tenant, name, _), each in same.items() if name == report and tenant in shop.tenants}
        for report in reports
    }
    assert all(len(each) >= len(shop.tenants) for each in distinct.values())
