"""The API over a real Redis, and somebody who does the work: what the bridge and Dagster do, step by step."""

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from dbconnect import Settings
from tests.dashboard_api.browser import browser, visit  # noqa: F401 - fixtures
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import SECRET, Api, dashboard_settings, heartbeats, serve, token_for
from tests.servers import redis_servers
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation, Template, clone, discard

UNLIMITED = '[policies.default]\nlimits = ["1000000/minute per user"]\n'
WEBSERVER = "http://dagster.example:3000"
MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="session", autouse=True)
def _own_settings_only() -> Iterator[None]:
    """A developer's environment may point at a running stack; these tests are about their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SALESPULSE_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def warehouse_without_figures(postgres_pair: PostgresPair, retail_template: Template) -> Iterator[Installation]:
    """A warehouse without figures: jobs need none."""
    installation = clone(postgres_pair, retail_template)
    try:
        with heartbeats(installation):
            yield installation
    finally:
        discard(installation)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis_servers.Server]:
    with redis_servers.one(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def job_settings(
    warehouse_without_figures: Installation,
    redis_server: redis_servers.Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> MakeSettings:
    """Settings of an API over it; nothing is read from the environment."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "unlimited.toml").write_text(UNLIMITED)
    (folder / "exports").mkdir()

    def make(**changes: Any) -> Settings:
        values = {
            "jwt_secret": SECRET,
            "redis_url": f"redis://127.0.0.1:{redis_server.port}/0",
            "ratelimit_policies": folder / "unlimited.toml",
            "export_dir": folder / "exports",
            "dagster_webserver_url": WEBSERVER,
        }
        return dashboard_settings(warehouse_without_figures, **(values | changes))

    return make


@pytest.fixture(scope="session")
def api(job_settings: MakeSettings) -> Iterator[Api]:
    with serve(job_settings()) as api:
        yield api


@pytest.fixture
def tenant() -> str:
    """A tenant of the test's own."""
    return f"tenant-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def client(api: Api, tenant: str) -> Iterator[httpx.Client]:
    """The tenant's owner."""
    with api.client(token_for(tenant)) as client:
        yield client


@pytest.fixture
def worker(redis_server: redis_servers.Server) -> Iterator[Worker]:
    with Worker.on(redis_server.port) as worker:
        yield worker
