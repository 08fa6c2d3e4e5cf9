"""Starting, stopping, and what happens while the database is away."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from dashboard_api.app import create_app
from dashboard_api.errors import NotConfiguredError
from dbconnect import Settings
from local_stack.waiting import wait_until
from pipelines.refresh import refresh
from pipelines.source import SourceMapping
from sample_app.synthetic import generate
from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.process import answers, environment, free_port, run
from tests.dashboard_api.server import SECRET, dashboard_settings, heartbeats, serve, token_for
from tests.servers import Database
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation, install_application, one, prepare_database, set_up_roles


async def test_a_role_that_row_security_does_not_hold_is_refused(
    api_settings: Callable[..., Settings], shop: Shop
) -> None:
    """Rather no dashboard than one that could show everyone everything."""
    installation = shop.installation
    standby = installation.pair.standby
    for url in (installation.url("salespulse_pipeline", server=standby), standby.url(installation.database.name)):
        app = create_app(api_settings(dashboard_url=SecretStr(url), dashboard_fallback_url=None))
        with pytest.raises(NotConfiguredError, match="salespulse_dashboard"):
            async with app.router.lifespan_context(app):
                pytest.fail("it started")


def test_the_process_serves_logs_json_and_ends_on_sigterm(
    api_settings: Callable[..., Settings], shop: Shop, tmp_path: Path
) -> None:
    port = free_port()
    process = run(environment(api_settings(), port), tmp_path)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), timeout_s=30, what="the API to be ready")
        response = httpx.get(
            f"http://127.0.0.1:{port}/api/me",
            headers={"Authorization": f"Bearer {token_for(shop.tenant)}", "X-Request-ID": "seen-in-the-log"},
        )
        assert response.json()["tenant_id"] == shop.tenant
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    access_lines = [line for line in lines if line.get("request_id") == "seen-in-the-log"]
    assert [(line["path"], line["status"], line["subject"]) for line in access_lines] == [("/api/me", 200, "someone")]
    assert SECRET.get_secret_value() not in log


def test_a_missing_setting_is_one_line_and_exit_1(api_settings: Callable[..., Settings], tmp_path: Path) -> None:
    variables = environment(api_settings(), 1)
    del variables["SALESPULSE_JWT_SECRET"]
    process = run(variables, tmp_path)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 1
    assert log.count("\n") == 1
    assert "SALESPULSE_JWT_SECRET" in log


def test_without_a_refresh_the_figures_are_being_prepared(
    installation: Installation, api_settings: Callable[..., Settings]
) -> None:
    urls = dashboard_settings(installation)
    settings = api_settings(dashboard_url=urls.dashboard_url, dashboard_fallback_url=urls.dashboard_fallback_url)
    with heartbeats(installation), serve(settings) as api, api.client(token_for("anyone")) as client:
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        assert client.get("/").status_code == 200
        assert client.get("/api/dashboard/overview").status_code == 403, "no tenant is known yet"
        with installation.admin() as connection:
            connection.execute("INSERT INTO salespulse.dim_tenant (tenant_id) VALUES ('early')")
        installation.wait_for_replay()
        early = client.get("/api/dashboard/overview", headers={"Authorization": f"Bearer {token_for('early')}"})
        assert early.status_code == 503
        assert "prepared" in early.json()["detail"]
        assert int(early.headers["retry-after"]) >= 1


def test_an_outage_is_503_and_ends_by_itself(
    own_pair: PostgresPair, retail_mapping: SourceMapping, api_settings: Callable[..., Settings]
) -> None:
    """Both servers away: kept answers serve for a while and say so; then 503; all well again without a restart."""
    own_pair.create_database("shop")
    with own_pair.primary.connect("shop") as connection:
        passwords = set_up_roles(connection)
        install_application(connection)
        prepare_database(connection, retail_mapping)
        generate(connection, tenants=1, sales=200, days=40, products=10, customers=10)
        tenant = one(connection, "SELECT id FROM retail.tenants")
    installation = Installation(Database(own_pair, "shop"), retail_mapping, passwords)
    installation.wait_for_replay()
    refresh(installation.connections(), installation.options())
    installation.wait_for_replay()
    urls = dashboard_settings(installation)
    settings = api_settings(dashboard_url=urls.dashboard_url, dashboard_fallback_url=urls.dashboard_fallback_url)
    with heartbeats(installation), serve(settings) as api, api.client(token_for(tenant)) as client:

        def ask(**params: Any) -> httpx.Response:
            return client.get("/api/dashboard/sales-summary", params=params)

        assert ask().status_code == 200
        installation.close()
        own_pair.standby.stop()
        own_pair.primary.stop()
        wait_until(lambda: client.get("/readyz").status_code == 503, timeout_s=20, what="/readyz to say so")
        cached = ask()
        assert (cached.status_code, cached.headers.get("x-stale")) == (200, "true")
        other = ask(to="2025-12-20")
        assert other.status_code == 503
        assert int(other.headers["retry-after"]) >= 1
        assert "127.0.0.1" not in other.text
        own_pair.primary.start()
        own_pair.standby.start()
        wait_until(lambda: ask(to="2025-12-20").status_code == 200, timeout_s=30, what="figures to be back")
        wait_until(lambda: "x-stale" not in ask().headers, timeout_s=30, what="fresh figures")
