"""Another system's signed delivery starts the job of its hook, once; nothing else does, and nothing is told to who tries."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row
from standardwebhooks import Webhook

from background_jobs.webhooks.inbound import create_hook, revoke_hook, rotate_hook_secret
from dashboard_api.jobs.inbound_hooks import DELIVERY_MAX_BYTES
from dashboard_api.middleware.request_context import AccessLine
from dbconnect.routes import Connection
from tests.dashboard_api.jobs.conftest import MakeSettings
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import Api, serve
from tests.warehouse import Installation

BODY = b'{"type": "stock.counted", "data": {"store": "north"}}'


@dataclass
class Sender:
    """Another system that knows a hook, and signs by the reference implementation."""

    path: str
    secret: str

    def headers(
        self, body: bytes = BODY, *, message: str = "msg-1", age_s: float = 0, **changes: str
    ) -> dict[str, str]:
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        return {
            "webhook-id": message,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(message, at, body.decode("latin-1")),
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }


@pytest.fixture
def warehouse(warehouse_without_figures: Installation) -> Iterator[Connection]:
    with psycopg.connect(
        warehouse_without_figures.url("salespulse_pipeline"), autocommit=True, row_factory=dict_row
    ) as connection:
        yield connection


@pytest.fixture
def hook_id(warehouse: Connection, tenant: str) -> list[int]:
    warehouse.execute("INSERT INTO salespulse.dim_tenant (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", [tenant])
    return []


@pytest.fixture
def sender(warehouse_without_figures: Installation, warehouse: Connection, tenant: str, hook_id: list[int]) -> Sender:
    hook = create_hook(warehouse, tenant, "hello_world", name="the till", params={"steps": 3})
    hook_id.append(hook.hook_id)
    warehouse_without_figures.wait_for_replay()
    return Sender(f"/api/hooks/{hook.token}", hook.secret)


@pytest.fixture
def outside(api: Api) -> Iterator[httpx.Client]:
    """Somebody without a credential."""
    with api.client() as client:
        yield client


def test_a_delivery_starts_the_job_of_its_hook(
    outside: httpx.Client, sender: Sender, hook_id: list[int], worker: Worker, tenant: str
) -> None:
    response = outside.post(sender.path, content=BODY, headers=sender.headers())
    assert response.status_code == 202, response.text
    assert response.json()["outcome"] == "created"
    job = worker.job(response.json()["job_id"])
    assert (job.tenant, job.kind, job.subject) == (tenant, "hello_world", f"hook:{hook_id[0]}")
    assert job.params["steps"] == 3
    assert "store" not in json.dumps(dict(job.params)), "what a delivery says is no parameter"


async def test_however_often_it_is_delivered_it_is_one_job(
    api: Api, sender: Sender, worker: Worker, tenant: str
) -> None:
    async with httpx.AsyncClient(base_url=api.url, timeout=30) as client:
        # Each attempt is signed again, with its own time.
        answers = await asyncio.gather(
            *(client.post(sender.path, content=BODY, headers=sender.headers(age_s=n)) for n in range(20))
        )
        other = await client.post(sender.path, content=BODY, headers=sender.headers(message="msg-2"))
        long_ids = [
            await client.post(sender.path, content=BODY, headers=sender.headers(message=f"{'m' * 255}{n}"))
            for n in (1, 1, 2)
        ]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert sorted(answer.json()["outcome"] for answer in answers) == ["created"] + ["replayed"] * 19
    assert other.json()["job_id"] != answers[0].json()["job_id"]
    assert [answer.json()["outcome"] for answer in long_ids] == ["created", "replayed", "created"]
    assert len(worker.store.list(tenant).jobs) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"age_s": 600},
        {"age_s": -600},
        {"webhook_id": "another"},
        {"webhook_timestamp": "1"},
        {"webhook_timestamp": "soon"},
        {"webhook_signature": "v1,AAAA"},
        {"webhook_signature": ""},
        {"webhook_id": ""},
    ],
    ids=str,
)
def test_what_is_not_signed_now_is_refused(
    outside: httpx.Client, sender: Sender, worker: Worker, tenant: str, changes: dict[str, Any]
) -> None:
    response = outside.post(sender.path, content=BODY, headers=sender.headers(**changes))
    assert (response.status_code, response.json()["type"]) == (401, "/problems/hook-signature")
    assert worker.store.list(tenant).jobs == []


def test_another_body_or_secret_is_refused(outside: httpx.Client, sender: Sender, worker: Worker, tenant: str) -> None:
    assert outside.post(sender.path, content=BODY + b" ", headers=sender.headers()).status_code == 401
    thief = Sender(sender.path, "whsec_" + "QUJD" * 8)
    assert outside.post(sender.path, content=BODY, headers=thief.headers()).status_code == 401
    assert worker.store.list(tenant).jobs == []


def test_an_unknown_token_is_404_whatever_is_sent(outside: httpx.Client, sender: Sender) -> None:
    for token in ("sph_unknown", "x", "a" * 3_000, "%00", "💥", "' OR 1=1"):
        for headers in (sender.headers(), {}):
            response = outside.post(f"/api/hooks/{token}", content=BODY, headers=headers)
            assert (response.status_code, response.json()["type"]) == (404, "/problems/hook-not-found"), token
    assert outside.get(sender.path).status_code == 405


def test_an_unknown_token_takes_as_long_as_a_known_one(outside: httpx.Client, sender: Sender) -> None:
    """The signature is worked out over the whole body either way: with a large one that is most of the time."""
    body = b"x" * DELIVERY_MAX_BYTES
    wrong = sender.headers(body, webhook_signature="v1,AAAA")
    # The one that is not there is asked first: nothing is warmer for it.
    paths = ["/api/hooks/sph_unknown", sender.path]
    durations_s: dict[str, list[float]] = {path: [] for path in paths}
    for _ in range(15):
        for path in paths:
            started_at = time.perf_counter()
            outside.post(path, content=body, headers=wrong)
            durations_s[path].append(time.perf_counter() - started_at)
    unknown_s, known_s = (min(durations_s[path]) for path in paths)
    assert 0.4 < unknown_s / known_s < 2.5


def test_a_revoked_hook_is_gone_and_a_rotated_secret_holds(
    warehouse_without_figures: Installation,
    warehouse: Connection,
    outside: httpx.Client,
    sender: Sender,
    hook_id: list[int],
) -> None:
    secret, _ = rotate_hook_secret(warehouse, hook_id[0], overlap_s=3_600)
    warehouse_without_figures.wait_for_replay()
    rotated = Sender(sender.path, secret)
    assert outside.post(sender.path, content=BODY, headers=rotated.headers(message="new")).status_code == 202
    assert outside.post(sender.path, content=BODY, headers=sender.headers(message="old")).status_code == 202
    revoke_hook(warehouse, hook_id[0])
    warehouse_without_figures.wait_for_replay()
    assert outside.post(sender.path, content=BODY, headers=rotated.headers(message="late")).status_code == 404


def test_a_body_is_bounded_while_it_is_read(outside: httpx.Client, sender: Sender) -> None:
    body = b"x" * (DELIVERY_MAX_BYTES + 1)
    assert outside.post(sender.path, content=body, headers=sender.headers(body)).status_code == 413
    full = b"x" * DELIVERY_MAX_BYTES
    assert outside.post(sender.path, content=full, headers=sender.headers(full)).status_code == 202


def test_the_token_stands_in_no_log(outside: httpx.Client, sender: Sender, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    outside.post(sender.path, content=BODY, headers=sender.headers())
    outside.get(sender.path)
    access_lines = [record.msg for record in caplog.records if isinstance(record.msg, AccessLine)]
    assert {line.path for line in access_lines} == {"/api/hooks/…"}
    token = sender.path.rpartition("/")[2]
    # httpx is this test's own; uvicorn's access log is off (`make_server`), but pytest listens to it all the same.
    own = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore", "uvicorn.access"))]
    assert [record.name for record in own if token in str(vars(record))] == []


def test_guessing_is_limited(job_settings: MakeSettings, sender: Sender, tmp_path: Any) -> None:
    (tmp_path / "p.toml").write_text('[policies.default]\nlimits = ["3/hour fixed"]\n')
    with serve(job_settings(ratelimit_policies=tmp_path / "p.toml")) as tight, tight.client() as client:
        statuses = [client.post(f"/api/hooks/guess-{number}").status_code for number in range(5)]
    assert statuses == [404] * 3 + [429] * 2
