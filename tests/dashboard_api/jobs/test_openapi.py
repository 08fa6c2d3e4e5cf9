"""The OpenAPI document of the job endpoints is kept: what it allows is answered as it says; never a 500."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from background_jobs.kinds import KINDS
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import Api, token_for

OPERATIONS = [
    ("POST", "/api/jobs"),
    ("GET", "/api/jobs"),
    ("GET", "/api/jobs/kinds"),
    ("GET", "/api/jobs/{job_id}"),
    ("GET", "/api/jobs/{job_id}/events"),
    ("POST", "/api/jobs/{job_id}/cancel"),
    ("GET", "/api/jobs/{job_id}/result"),
    ("GET", "/api/jobs/{job_id}/file"),
    ("POST", "/api/hooks/{token}"),
]
# Followed by test_streams: it does not end, so that no generated request can be made of it.
ENDLESS = ("GET", "/api/jobs/events")
# A schema can't say what a range of dates is, which ids there are, or whose signature holds.
EXCLUDED = [positive_data_acceptance]
BOUNDED = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def document(api: Api) -> Any:
    return schemathesis.openapi.from_url(f"{api.url}/openapi.json")


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_does_what_it_says(
    document: Any, tenant: str, method: str, path: str, mode: GenerationMode
) -> None:
    headers = {"Authorization": f"Bearer {token_for(tenant)}"}
    if (path, mode) == ("/api/jobs/kinds", GenerationMode.NEGATIVE):
        pytest.skip("there is nothing to get wrong where nothing can be given")

    @BOUNDED
    @given(case=document[path][method].as_strategy(generation_mode=mode))
    def answer(case: Any) -> None:
        case.call_and_validate(headers=headers, excluded_checks=EXCLUDED)

    answer()


def test_a_real_job_is_as_the_document_says(document: Any, client: httpx.Client, worker: Worker, tenant: str) -> None:
    """In each of its states' shapes: the models are strict, so that a field that is not described shows."""
    job = worker.submit(tenant, "refresh_sales_summary", subject="ann", max_attempts=2)
    first = worker.start(job.id)
    worker.store.report(job.id, first, percent=5, step="reading", counts={"sales": 3})
    worker.store.fail(job.id, first, "WORKER_LOST", "its worker is gone")
    for path in (f"/api/jobs/{job.id}", "/api/jobs"):
        operation = document["/api/jobs/{job_id}" if job.id in path else "/api/jobs"]["GET"]
        operation.validate_response(client.get(path))
    worker.store.started(job.id, 1)
    worker.store.succeed(job.id, first)
    document["/api/jobs/{job_id}"]["GET"].validate_response(client.get(f"/api/jobs/{job.id}"))


def test_the_document_is_complete(client: httpx.Client) -> None:
    openapi = client.get("/openapi.json").json()
    operations = {
        (method.upper(), path): operation
        for path, methods in openapi["paths"].items()
        if path.startswith(("/api/jobs", "/api/hooks"))
        for method, operation in methods.items()
    }
    assert set(operations) == {*OPERATIONS, ENDLESS}
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation["description"], name
        assert {"429", "503"} <= set(operation["responses"]), name
        assert bool(operation.get("security")) == (name[1] not in {"/api/jobs/{job_id}/file", "/api/hooks/{token}"})
    body = operations["POST", "/api/jobs"]["requestBody"]["content"]["application/json"]
    assert {choice["title"] for choice in body["schema"]["oneOf"]} == set(KINDS)
    assert body["examples"]
    assert {parameter["name"] for parameter in operations["POST", "/api/jobs"]["parameters"]} == {
        "Idempotency-Key",
        "Prefer",
    }
    assert {"200", "202", "413", "415", "422"} <= set(operations["POST", "/api/jobs"]["responses"])
