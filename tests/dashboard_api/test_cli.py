"""`salespulse token` and `salespulse api-key`: what they print opens the API."""

import json
from collections.abc import Callable

import pytest
from click import Command
from click.testing import CliRunner

from dashboard_api.auth import issue_token
from dashboard_api.errors import NotConfiguredError
from dbconnect import Settings
from salespulse.cli.api_key import ApiKeyNotFoundError, api_key
from salespulse.cli.token import TenantNotFoundError, token
from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.server import SECRET, Api

Run = Callable[..., str]


@pytest.fixture
def run(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Run:
    monkeypatch.setenv("SALESPULSE_DATA_DIR", str(tmp_path_factory.mktemp("data")))
    monkeypatch.setenv("SALESPULSE_WAREHOUSE_URL", shop.installation.url("salespulse_pipeline"))
    monkeypatch.setenv("SALESPULSE_JWT_SECRET", SECRET.get_secret_value())

    def invoke(command: Command, *arguments: str) -> str:
        return CliRunner().invoke(command, arguments, catch_exceptions=False).output

    return invoke


def test_a_token_by_the_tenants_name_opens_its_dashboard(run: Run, shop: Shop, api: Api) -> None:
    [[name]] = shop.query("SELECT name FROM retail.tenants WHERE id = %s", shop.tenant)
    output = json.loads(run(token, "--tenant", name, "--currency", "GBP", "--json"))
    assert output["tenant_id"] == shop.tenant
    assert output["url"].endswith(f"/#token={output['token']}")
    assert run(token, "--tenant", shop.tenant).startswith("http://127.0.0.1:8400/#token=")
    with api.client(output["token"]) as client:
        assert client.get("/api/me").json()["currency"] == "GBP"


def test_an_unknown_tenant_is_named(run: Run) -> None:
    with pytest.raises(TenantNotFoundError, match="nobody's"):
        run(token, "--tenant", "nobody's")


def test_no_token_without_a_secret() -> None:
    with pytest.raises(NotConfiguredError, match="JWT_SECRET"):
        issue_token(Settings(_env_file=None), tenant_id="t", subject="s")


def test_a_key_is_shown_once_listed_and_revoked(run: Run, shop: Shop, api: Api) -> None:
    created = json.loads(
        run(api_key, "create", "--tenant", shop.tenant, "--name", "the till's report", "--days", "7", "--json")
    )
    shop.installation.wait_for_replay()
    with api.client(**{"X-API-Key": created["key"]}) as client:
        assert client.get("/api/me").json()["tenant_id"] == shop.tenant
    keys = {row["api_key_id"]: row for row in json.loads(run(api_key, "list", "--json"))}
    assert keys[created["api_key_id"]]["name"] == "the till's report"
    assert created["key"] not in run(api_key, "list", "--json") + run(api_key, "list")
    assert "revoked" in run(api_key, "revoke", str(created["api_key_id"]))
    with pytest.raises(ApiKeyNotFoundError):
        run(api_key, "revoke", str(created["api_key_id"]))
