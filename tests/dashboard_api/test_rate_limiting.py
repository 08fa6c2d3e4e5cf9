"""The API is limited by user, by address where there is none, and by a tenant's own limits; health is not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from dashboard_api.app import create_app
from dashboard_api.errors import NotConfiguredError
from dbconnect import Settings
from local_stack.waiting import wait_until
from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.server import Api, serve, token_for

ME = "/api/me"
PATIENT_S = 10


def policies(path: Path, *limits: str, tenants: str = "") -> Path:
    """Replace the file as a whole, as an operator should."""
    text = f'[policies.default]\nlimits = {list(limits)}\non_outage = "local"\n{tenants}'.replace("'", '"')
    (path / "next.toml").write_text(text)
    (path / "next.toml").replace(path / "policies.toml")
    return path / "policies.toml"


@pytest.fixture
def limited(api_settings: Callable[..., Settings], shop: Shop, tmp_path: Path) -> Iterator[Api]:
    """Three an hour for everybody, five for the second tenant's."""
    own = f'[policies.default.tenants."{shop.tenants[1]}"]\nlimits = ["5/hour fixed"]\n'
    with serve(api_settings(ratelimit_policies=policies(tmp_path, "3/hour fixed", tenants=own))) as api:
        yield api


def statuses(client: httpx.Client, times: int, path: str = ME) -> list[int]:
    return [client.get(path).status_code for _ in range(times)]


def test_past_the_limit_is_429_with_what_a_client_needs(limited: Api, shop: Shop) -> None:
    with limited.client(token_for(shop.tenant, subject="eager")) as client:
        first = client.get(ME)
        assert (first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]) == ("3", "2")
        assert statuses(client, 2) == [200, 200]
        rejection = client.get(ME)
    assert rejection.status_code == 429
    assert rejection.headers["content-type"] == "application/problem+json"
    assert rejection.headers["x-ratelimit-remaining"] == "0"
    assert 1 <= int(rejection.headers["retry-after"]) <= 3_600
    assert rejection.headers["x-request-id"]
    assert "default-src 'none'" in rejection.headers["content-security-policy"]
    assert limited.metric("salespulse_http_request_seconds_count", route="(none)", method="GET", status="429") == 1


def test_users_are_counted_apart_and_tenants_have_their_own_limits(limited: Api, shop: Shop) -> None:
    def of(tenant: str, subject: str) -> list[int]:
        with limited.client(token_for(tenant, subject=subject)) as client:
            return statuses(client, 6)

    assert of(shop.tenant, "apart-1") == [200] * 3 + [429] * 3
    assert of(shop.tenant, "apart-2") == [200] * 3 + [429] * 3
    assert of(shop.tenants[2], "apart-1") == [200] * 3 + [429] * 3, "the same name in another tenant is another user"
    assert of(shop.tenants[1], "apart-3") == [200] * 5 + [429]


def test_a_claimed_name_is_no_user(limited: Api, shop: Shop) -> None:
    """Invented tokens, keys and forwarded addresses all count by the address that they come from."""
    status_codes = []
    with limited.client() as client:
        for number in range(6):
            headers = [
                {"Authorization": f"Bearer invented-{number}"},
                {"X-API-Key": f"spk_invented-{number}"},
                {"X-Forwarded-For": f"192.0.2.{number}"},
            ][number % 3]
            status_codes.append(client.get(ME, headers=headers).status_code)
    assert status_codes[3:] == [429] * 3
    assert 200 not in status_codes


def test_health_metrics_and_the_page_are_exempt(limited: Api) -> None:
    with limited.client() as client:
        for path in ("/healthz", "/readyz", "/metrics", "/", "/static/app.js"):
            assert statuses(client, 5, path) == [200] * 5
            assert "x-ratelimit-limit" not in client.get(path).headers


def test_policies_change_while_it_runs(limited: Api, shop: Shop, tmp_path: Path) -> None:
    with limited.client(token_for(shop.tenant, subject="patient")) as client:
        assert statuses(client, 4)[-1] == 429
        policies(tmp_path, "1000/hour fixed")
        wait_until(lambda: client.get(ME).status_code == 200, timeout_s=PATIENT_S, what="the new policy")
        (tmp_path / "policies.toml").write_text("this is no policy file")
        wait_until(
            lambda: limited.metric("ratelimit_policy_reload_failures_total") > 0,
            timeout_s=PATIENT_S,
            what="the bad file to be refused",
        )
        assert client.get(ME).headers["x-ratelimit-limit"] == "1000", "the last good policies stay"


def test_a_bad_policy_file_stops_the_start(api_settings: Callable[..., Settings], tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('[policies.default]\nlimits = ["many"]\n')
    with pytest.raises(NotConfiguredError, match=r"bad\.toml.*line 2|line 2"):
        create_app(api_settings(ratelimit_policies=tmp_path / "bad.toml"))
    (tmp_path / "other.toml").write_text('[policies.other]\nlimits = ["1/s"]\n')
    with pytest.raises(NotConfiguredError, match="default"):
        create_app(api_settings(ratelimit_policies=tmp_path / "other.toml"))


def test_without_redis_the_limit_holds_locally(
    api_settings: Callable[..., Settings], shop: Shop, tmp_path: Path
) -> None:
    settings = api_settings(redis_url="redis://127.0.0.1:1/0", ratelimit_policies=policies(tmp_path, "3/hour fixed"))
    with serve(settings) as api, api.client(token_for(shop.tenant, subject="in-an-outage")) as client:
        assert statuses(client, 5) == [200] * 3 + [429] * 2


def test_the_bundled_policy_is_a_hundred_a_minute(api_settings: Callable[..., Settings], shop: Shop) -> None:
    with (
        serve(api_settings(ratelimit_policies=None)) as api,
        api.client(token_for(shop.tenant, subject="of-the-bundled")) as client,
    ):
        assert client.get(ME).headers["x-ratelimit-limit"] == "100"
