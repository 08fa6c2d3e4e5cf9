"""Asking for a job: what is answered, what is refused and how, and that repeating a request makes no second job."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from background_jobs.kinds import KINDS, OPERATOR
from background_jobs.store import JobState, Submission
from dashboard_api.jobs.requests import BODY_MAX_BYTES
from local_stack.waiting import wait_until
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import Api, token_for

HELLO = {"kind": "hello_world", "params": {"name": "Ada", "steps": 3}}


def test_a_job_is_accepted_at_once(client: httpx.Client, worker: Worker, tenant: str) -> None:
    response = client.post("/api/jobs", json=HELLO)
    assert response.status_code == 202
    document = response.json()
    assert response.headers["location"] == f"/api/jobs/{document['id']}" == document["links"]["self"]
    assert int(response.headers["retry-after"]) >= 1
    assert response.headers["x-job-outcome"] == "created"
    assert response.headers["etag"]
    assert (document["state"], document["tenant"], document["subject"]) == ("queued", tenant, "someone")
    assert document["params"] == {"name": "Ada", "steps": 3, "step_seconds": 0.2, "fail": False}
    job = worker.job(document["id"])
    kind = KINDS["hello_world"]
    assert (job.deadlines, job.max_attempts) == (kind.deadlines, kind.max_attempts)
    assert client.get(response.headers["location"]).json() == document


def test_priority_and_delay_are_kept(client: httpx.Client, worker: Worker) -> None:
    document = client.post("/api/jobs", json={**HELLO, "priority": 7, "delay_s": 3_600}).json()
    job = worker.job(document["id"])
    assert job.priority == 7
    assert job.available_ms == job.created_ms + 3_600_000
    assert worker.job(document["id"]).state is JobState.QUEUED


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "no_such_kind"}, "kind"),
        ({"kind": 7}, "kind"),
        ({"kind": None}, "kind"),
        ({"params": {"steps": "many"}}, "params.steps"),
        ({"params": {"steps": 0}}, "params.steps"),
        ({"params": {"unknown": 1}}, "params.unknown"),
        ({"params": [1]}, "params"),
        ({"params": {"steps": 10_000, "step_seconds": 60}}, "params"),
        ({"priority": 11}, "priority"),
        ({"priority": "1"}, "priority"),
        ({"delay_s": -1}, "delay_s"),
        ({"coalesce": "perhaps"}, "coalesce"),
        ({"tenant": "another"}, "tenant"),
        ({"params": {"name": "a\0b"}}, "body"),
        ({"params": {"name": "\ud800"}}, "body"),
    ],
    ids=str,
)
def test_what_can_not_be_used_is_named(client: httpx.Client, changes: dict[str, Any], field: str) -> None:
    response = client.post(
        "/api/jobs", content=json.dumps({**HELLO, **changes}), headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 422, response.text
    problem = response.json()
    assert problem["type"] == "/problems/invalid-parameter"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["errors"][0]["detail"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"kind": NaN}', b"[" * 50_000, b"1" * 5_000], ids=repr
)
def test_what_is_no_json_object_is_refused(client: httpx.Client, body: bytes) -> None:
    response = client.post("/api/jobs", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["field"] == "body"


def test_a_body_of_another_kind_is_415(client: httpx.Client) -> None:
    response = client.post("/api/jobs", data={"kind": "hello_world"})
    assert response.status_code == 415
    assert response.json()["type"] == "/problems/media-type"


def test_a_body_is_bounded_while_it_is_read(api: Api, tenant: str) -> None:
    """Announced as too long, and sent in pieces without an announcement: neither is read to its end."""
    sent_bytes = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent_bytes
        for _ in range(100_000):
            sent_bytes += 16_384
            yield b" " * 16_384

    with api.client(token_for(tenant)) as client:
        headers = {"Content-Type": "application/json"}
        announced = client.post("/api/jobs", content=b" " * (BODY_MAX_BYTES + 1), headers=headers)
        assert announced.status_code == 413
        # The server closes the connection while we go on sending.
        with contextlib.suppress(httpx.WriteError, httpx.ReadError):
            assert client.post("/api/jobs", content=pieces(), headers=headers).status_code == 413
    assert sent_bytes < 16 * 1024 * 1024
    with api.client(token_for(tenant)) as client:
        assert client.get("/api/jobs").json()["jobs"] == []


def test_a_role_may_ask_for_its_kinds_only(api: Api, tenant: str) -> None:
    with api.client(token_for(tenant, role="viewer")) as viewer:
        assert viewer.post("/api/jobs", json=HELLO).status_code == 202
        rejection = viewer.post("/api/jobs", json={"kind": "export_sales_report"})
        assert rejection.status_code == 403
        assert "owner" in rejection.json()["detail"]
        offered = {kind["kind"] for kind in viewer.get("/api/jobs/kinds").json()["kinds"]}
    assert offered == {name for name, kind in KINDS.items() if "viewer" in kind.roles}
    with api.client(token_for(tenant, role="till")) as other:
        assert other.post("/api/jobs", json=HELLO).status_code == 403
        assert other.get("/api/jobs").status_code == 403
    with api.client() as nobody:
        assert nobody.post("/api/jobs", json=HELLO).status_code == 401
        assert nobody.get("/api/jobs").status_code == 401


@pytest.mark.parametrize("kind", ["verify_sales_summary", "rebuild_sales_summary"])
def test_only_an_operator_starts_work_over_all_tenants(api: Api, tenant: str, kind: str) -> None:
    body = {"kind": kind, "params": {"from_date": "2026-01-01", "to_date": "2026-01-02"}}
    with api.client(token_for(tenant, role="owner")) as owner, api.client(token_for(tenant, role=OPERATOR)) as operator:
        rejection = owner.post("/api/jobs", json=body)
        assert (rejection.status_code, rejection.json()["type"]) == (403, "/problems/forbidden")
        assert "over all tenants" in rejection.json()["detail"]
        started = operator.post("/api/jobs", json=body)
        assert started.status_code == 202
        job_id = started.json()["id"]
        assert owner.post(f"/api/jobs/{job_id}/cancel").status_code == 403
        assert kind not in {each["kind"] for each in owner.get("/api/jobs/kinds").json()["kinds"]}
        assert {each["kind"] for each in operator.get("/api/jobs/kinds").json()["kinds"]} == set(KINDS)
        assert operator.post(f"/api/jobs/{job_id}/cancel").json()["state"] == "canceled"


def test_kinds_come_with_the_schema_of_their_parameters(client: httpx.Client) -> None:
    kinds = {kind["kind"]: kind for kind in client.get("/api/jobs/kinds").json()["kinds"]}
    assert set(kinds) == {name for name, kind in KINDS.items() if "owner" in kind.roles}
    schema = kinds["hello_world"]["params_schema"]
    assert schema["properties"]["steps"]["default"] == 5
    assert schema["additionalProperties"] is False
    assert all(kind["description"] for kind in kinds.values())


def test_the_same_key_and_body_is_the_same_job(client: httpx.Client, worker: Worker) -> None:
    headers = {"Idempotency-Key": "order-17"}
    first = client.post("/api/jobs", json=HELLO, headers=headers)
    # Equal JSON, written otherwise.
    reordered = json.dumps(dict(reversed(HELLO.items())), indent=3)
    again = client.post("/api/jobs", content=reordered, headers={**headers, "Content-Type": "application/json"})
    assert (again.status_code, again.headers["x-job-outcome"]) == (202, "replayed")
    assert again.json()["id"] == first.json()["id"]
    worker.finish(first.json()["id"])
    ended = client.post("/api/jobs", json=HELLO, headers=headers)
    assert (ended.status_code, ended.json()["state"]) == (200, "succeeded")
    assert "retry-after" not in ended.headers
    other = client.post("/api/jobs", json={**HELLO, "params": {}}, headers=headers)
    assert other.status_code == 422
    assert other.json()["type"] == "/problems/idempotency-conflict"
    assert first.json()["id"] not in other.text


def test_keys_are_each_tenants_own(api: Api, client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "one-key"}
    mine = client.post("/api/jobs", json=HELLO, headers=headers)
    with api.client(token_for("another-tenant-with-a-key")) as other:
        theirs = other.post("/api/jobs", json={"kind": "hello_world"}, headers=headers)
    assert theirs.status_code == 202
    assert theirs.json()["id"] != mine.json()["id"]


@pytest.mark.parametrize("key", ["", "a b", "a" * 256, "ü".encode("latin-1")])
def test_a_key_must_be_one(client: httpx.Client, key: str | bytes) -> None:
    response = client.post("/api/jobs", json=HELLO, headers={"Idempotency-Key": key})  # type: ignore[dict-item]
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_fifty_at_once_with_one_key_are_one_job(api: Api, tenant: str, worker: Worker) -> None:
    headers = {"Authorization": f"Bearer {token_for(tenant)}", "Idempotency-Key": "a-race"}
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=30, limits=limits) as client:
        answers = await asyncio.gather(*(client.post("/api/jobs", json=HELLO) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    outcomes = [answer.headers["x-job-outcome"] for answer in answers]
    assert (outcomes.count("created"), outcomes.count("replayed")) == (1, 49)
    assert len(worker.store.list(tenant).jobs) == 1


def test_equal_requests_join_until_the_job_is_begun(client: httpx.Client, worker: Worker) -> None:
    body = {"kind": "refresh_sales_summary", "coalesce": True}
    first, second = (client.post("/api/jobs", json=body) for _ in range(2))
    assert second.headers["x-job-outcome"] == "joined"
    assert second.json()["id"] == first.json()["id"]
    assert second.json()["joined"] == 1
    apart = client.post("/api/jobs", json={**body, "coalesce": False})
    assert apart.headers["x-job-outcome"] == "created"
    worker.start(first.json()["id"])
    follow_up = client.post("/api/jobs", json=body)
    assert follow_up.headers["x-job-outcome"] == "created"
    assert follow_up.json()["id"] != first.json()["id"]


def test_a_full_queue_says_when_to_come_back(client: httpx.Client, worker: Worker, tenant: str) -> None:
    for _ in range(worker.store.options.queued_per_tenant):
        worker.store.submit(Submission(kind="hello_world", tenant=tenant, params={}))
    response = client.post("/api/jobs", json=HELLO)
    assert (response.status_code, response.json()["type"]) == (429, "/problems/queue-full")
    assert int(response.headers["retry-after"]) >= 1


async def test_a_request_may_wait_for_the_ending(api: Api, tenant: str, worker: Worker) -> None:
    headers = {"Authorization": f"Bearer {token_for(tenant)}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=60) as client:
        waiting = asyncio.create_task(
            client.post("/api/jobs", json=HELLO, headers={"Prefer": "respond-async, wait=25"})
        )
        job_id = await asyncio.to_thread(appeared, worker, tenant)
        await asyncio.to_thread(worker.finish, job_id, reports=2, result={"greeting": "hello"})
        answer = await waiting
        assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=25")
        assert answer.json()["state"] == "succeeded"
        assert answer.json()["result"] == {"greeting": "hello"}
        timed_out = await client.post("/api/jobs", json=HELLO, headers={"Prefer": "wait=0"})
        assert (timed_out.status_code, timed_out.headers["preference-applied"]) == (202, "wait=0")
        for ignored in ("wait=soon", "wait=-1", "return=minimal", "wait"):
            answer = await client.post("/api/jobs", json=HELLO, headers={"Prefer": ignored})
            assert answer.status_code == 202
            assert "preference-applied" not in answer.headers
    route = {"route": "/api/jobs", "method": "POST", "status": "200"}
    assert api.metric("salespulse_http_request_seconds_sum", **route) < 5, "waiting is not the API's latency"


def appeared(worker: Worker, tenant: str) -> str:
    wait_until(lambda: worker.store.list(tenant).jobs, timeout_s=30, what="the job to appear")
    return worker.store.list(tenant).jobs[0].id
