"""Looking at jobs: one by one with entity tags, in pages, and after the store has forgotten them."""

import asyncio
from collections.abc import Callable

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from background_jobs.store import JobState
from local_stack.waiting import wait_until
from tests.dashboard_api.jobs.conftest import WEBSERVER
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import Api, token_for
from tests.warehouse import Installation


def test_the_tag_follows_the_job(client: httpx.Client, worker: Worker, tenant: str) -> None:
    job = worker.submit(tenant)
    path = f"/api/jobs/{job.id}"
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["retry-after"] == "1"
    attempt = worker.start(job.id)
    started = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (started.status_code, started.json()["state"]) == (200, "running")
    # A sign of life alone changes nothing that anybody would look at.
    worker.store.report(job.id, attempt)
    tag = started.headers["etag"]
    assert client.get(path, headers={"If-None-Match": f'"other", {tag}'}).status_code == 304
    worker.store.report(job.id, attempt, percent=50)
    assert client.get(path, headers={"If-None-Match": tag}).json()["percent"] == 50
    worker.store.succeed(job.id, attempt)
    ended = client.get(path)
    assert "retry-after" not in ended.headers
    assert ended.headers["cache-control"] == "private, no-cache"


def test_what_it_waits_for_changes_the_tag(client: httpx.Client, worker: Worker, tenant: str) -> None:
    job = worker.submit(tenant)
    before = client.get(f"/api/jobs/{job.id}")
    worker.store.set_waiting("Dagster's code server is unavailable")
    try:
        waiting = client.get(f"/api/jobs/{job.id}", headers={"If-None-Match": before.headers["etag"]})
        assert waiting.json()["waiting_for"] == "Dagster's code server is unavailable"
        assert waiting.json()["seq"] == before.json()["seq"]
    finally:
        worker.store.set_waiting(None)


def test_a_run_is_linked_once_it_is_known(client: httpx.Client, worker: Worker, tenant: str) -> None:
    job = worker.submit(tenant)
    assert client.get(f"/api/jobs/{job.id}").json()["links"]["run"] is None
    worker.dispatch(job.id)
    document = client.get(f"/api/jobs/{job.id}").json()
    assert document["links"]["run"] == f"{WEBSERVER}/runs/{document['run_id']}"


def test_pages_join_into_the_whole_list(client: httpx.Client, worker: Worker, tenant: str) -> None:
    job_ids = [
        worker.submit(tenant, "hello_world" if number % 3 else "refresh_sales_summary").id for number in range(23)
    ]
    worker.finish(job_ids[5])
    worker.store.cancel(job_ids[7])

    def pages(**query: object) -> list[str]:
        ids: list[str] = []
        params = {"limit": 7, **query}
        while True:
            page = client.get("/api/jobs", params=params).json()  # type: ignore[arg-type]
            ids += [job["id"] for job in page["jobs"]]
            assert len(page["jobs"]) <= 7
            if page["next"] is None:
                return ids
            params["before"] = page["next"]

    assert pages() == job_ids[::-1], "the newest first"
    assert pages(kind="refresh_sales_summary") == job_ids[::3][::-1]
    assert pages(state="succeeded") == [job_ids[5]]
    assert pages(state=["succeeded", "canceled"]) == [job_ids[7], job_ids[5]]
    assert set(pages(state="queued")) == set(job_ids) - {job_ids[5], job_ids[7]}
    assert pages(kind="no_such_kind") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=done", "state.0"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=1&limit=2", "limit"),
        ("before=", "before"),
        ("before=yesterday", "request"),
        ("before=1-%00", "before"),
        ("tenant=another", "tenant"),
        ("kind=", "kind"),
    ],
)
def test_what_can_not_be_asked_is_named(client: httpx.Client, query: str, field: str) -> None:
    response = client.get(f"/api/jobs?{query}")
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["field"] == field


async def test_a_look_may_wait_for_the_ending(api: Api, worker: Worker, tenant: str) -> None:
    job = worker.submit(tenant)
    events = api.services.jobs.events
    headers = {"Authorization": f"Bearer {token_for(tenant)}", "Prefer": "wait=30"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=60) as client:
        request = asyncio.create_task(client.get(f"/api/jobs/{job.id}"))
        await asyncio.to_thread(wait_until, lambda: job.id in events._of_job, timeout_s=30, what="the look to wait")
        await asyncio.to_thread(worker.bring_to, JobState.FAILED, job.id)
        answer = await request
    assert (answer.status_code, answer.json()["state"], answer.json()["code"]) == (200, "failed", "STEP_FAILURE")
    assert answer.headers["preference-applied"] == "wait=30"


@pytest.fixture
def archive(warehouse_without_figures: Installation, tenant: str) -> Callable[..., None]:
    """Puts a job's document into the warehouse's archive, as the bridge does."""

    def put(worker: Worker, job_id: str) -> None:
        job = worker.job(job_id)
        with psycopg.connect(warehouse_without_figures.url("salespulse_pipeline")) as connection:
            connection.execute(
                "INSERT INTO salespulse.dim_tenant (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", [tenant]
            )
            connection.execute(
                "INSERT INTO salespulse.job_archive (job_id, tenant_key, tenant_id, kind, state, attempt, seq, created_at, record)"
                " SELECT %s, tenant_key, tenant_id, %s, %s, %s, %s, now(), %s FROM salespulse.dim_tenant WHERE tenant_id = %s",
                [job.id, job.kind, job.state, job.attempt, job.seq, Jsonb(job.as_document()), tenant],
            )
        warehouse_without_figures.wait_for_replay()

    return put


def test_a_job_that_the_store_has_forgotten_is_in_the_archive(
    api: Api, client: httpx.Client, worker: Worker, tenant: str, archive: Callable[..., None]
) -> None:
    job = worker.finish(worker.submit(tenant).id, result={"greeting": "hello"})
    path = f"/api/jobs/{job.id}"
    before = client.get(path)
    archive(worker, job.id)
    worker.store._client.delete(f"{worker.store.options.prefix}job:{job.id}")
    assert worker.store.get(job.id) is None
    after = client.get(path)
    assert (after.status_code, after.json(), after.headers["etag"]) == (200, before.json(), before.headers["etag"])
    assert client.get(f"{path}/result").json()["result"] == {"greeting": "hello"}
    assert client.get(f"{path}/events", params={"after": job.seq}).status_code == 204
    assert client.post(f"{path}/cancel").status_code == 409
    with api.client(token_for("somebody-else")) as other:
        assert other.get(path).status_code == 404
