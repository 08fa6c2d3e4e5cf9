"""Another tenant's job is not there: on no route, in no list, in no stream; nor are the system's own."""

import uuid
from typing import Any

import httpx
import pytest

from background_jobs.store import JobState
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import Api, token_for

ROUTES = [
    ("GET", "/api/jobs/{}"),
    ("GET", "/api/jobs/{}/events"),
    ("GET", "/api/jobs/{}/result"),
    ("POST", "/api/jobs/{}/cancel"),
]


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_anothers_job_is_404_like_one_that_is_not_there(
    api: Api, client: httpx.Client, worker: Worker, method: str, path: str, state: JobState
) -> None:
    foreign = worker.bring_to(state, worker.submit("a-quite-different-tenant").id)
    systems = worker.submit("")
    answers: list[Any] = []
    for job_id in (foreign.id, systems.id, str(uuid.uuid4())):
        response = client.request(method, path.format(job_id))
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        problem.pop("request_id")
        answers.append((problem.pop("detail").replace(job_id, "…"), problem))
    assert answers[0] == answers[1] == answers[2], "nothing tells whether another tenant has it"
    assert worker.job(foreign.id).state is state
    worker.store.cancel(systems.id)


def test_a_list_holds_ones_own_only(api: Api, client: httpx.Client, worker: Worker, tenant: str) -> None:
    own = worker.submit(tenant)
    systems = worker.submit("")
    worker.submit("a-quite-different-tenant")
    assert [job["id"] for job in client.get("/api/jobs").json()["jobs"]] == [own.id]
    worker.store.cancel(systems.id)


@pytest.mark.parametrize(
    "job_id", ["x", "..", "%2e%2e%2fkinds", "' OR 1=1", "%00", "0" * 36, "💥", "{}", "A" * 5_000, "events%20", "*"]
)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_hostile_ids_are_404(client: httpx.Client, method: str, path: str, job_id: str) -> None:
    response = client.request(method, path.format(job_id))
    assert response.status_code in {404, 405}, response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_ids_in_another_spelling_are_404(client: httpx.Client, worker: Worker, tenant: str) -> None:
    job = worker.submit(tenant)
    for spelt in (job.id.upper(), job.id.replace("-", ""), f"{{{job.id}}}"):
        if spelt != job.id:
            assert client.get(f"/api/jobs/{spelt}").status_code == 404


def test_subjects_of_one_tenant_see_each_others_jobs(api: Api, worker: Worker, tenant: str) -> None:
    job = worker.submit(tenant, subject="ann")
    with api.client(token_for(tenant, subject="bob")) as client:
        assert client.get(f"/api/jobs/{job.id}").json()["subject"] == "ann"
