"""What a job gave: its result, and an export's file behind a link that nobody can make, and that expires."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from background_jobs.store import Job, JobState
from dashboard_api.jobs.results import LINK_VALID_S
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import Api

CONTENT = b"business_date,net_amount\r\n2011-11-01,12.500\r\n"


def export(worker: Worker, api: Api, tenant: str, **changes: Any) -> Job:
    """An export as its run leaves it."""
    job = worker.submit(
        tenant,
        "export_sales_report",
        params={"report": "stores", "format": "csv", "from_date": "2011-11-01", "to_date": "2011-11-30"},
    )
    name = f"{job.id}.csv"
    (api.services.settings.exports / name).write_bytes(CONTENT)
    result = {
        "file": name,
        "bytes": len(CONTENT),
        "rows": 1,
        "format": "csv",
        "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
        **changes,
    }
    return worker.finish(job.id, result=result)


def test_a_result(client: httpx.Client, worker: Worker, tenant: str) -> None:
    job = worker.finish(worker.submit(tenant).id, result={"rows": 3})
    assert client.get(f"/api/jobs/{job.id}/result").json() == {"job_id": job.id, "result": {"rows": 3}, "file": None}


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.RETRYING, JobState.CANCELING])
def test_there_is_none_before_the_ending(client: httpx.Client, worker: Worker, tenant: str, state: JobState) -> None:
    job = worker.bring_to(state, worker.submit(tenant, max_attempts=3).id)
    response = client.get(f"/api/jobs/{job.id}/result")
    assert (response.status_code, response.json()["type"]) == (409, "/problems/job-not-ended")
    assert int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELED])
def test_there_is_none_after_another_ending(client: httpx.Client, worker: Worker, tenant: str, state: JobState) -> None:
    job = worker.bring_to(state, worker.submit(tenant).id)
    response = client.get(f"/api/jobs/{job.id}/result")
    assert (response.status_code, response.json()["type"]) == (409, "/problems/job-ended")
    assert "retry-after" not in response.headers


def test_a_file_is_fetched_by_its_link_alone(api: Api, client: httpx.Client, worker: Worker, tenant: str) -> None:
    job = export(worker, api, tenant)
    file = client.get(f"/api/jobs/{job.id}/result").json()["file"]
    assert (file["name"], file["bytes"], file["format"]) == (
        "sales-stores-2011-11-01-2011-11-30.csv",
        len(CONTENT),
        "csv",
    )
    expires = int(parse_qs(urlsplit(file["url"]).query)["expires"][0])
    assert LINK_VALID_S - 60 < expires - time.time() <= LINK_VALID_S
    with api.client() as nobody:
        response = nobody.get(file["url"])
    assert (response.status_code, response.content) == (200, CONTENT)
    assert response.headers["content-disposition"] == f'attachment; filename="{file["name"]}"'
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "no-store" in response.headers["cache-control"]


def test_a_link_can_not_be_made_or_prolonged(api: Api, client: httpx.Client, worker: Worker, tenant: str) -> None:
    job, other = (export(worker, api, tenant) for _ in range(2))
    url = client.get(f"/api/jobs/{job.id}/result").json()["file"]["url"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    path = f"/api/jobs/{job.id}/file"
    forged: list[dict[str, Any]] = [
        {},
        {"expires": query["expires"]},
        {**query, "expires": int(query["expires"]) + 1},
        {**query, "expires": f"0{query['expires']}x"},
        {**query, "expires": "٣"},
        {**query, "signature": query["signature"][::-1]},
        {**query, "signature": "ü"},
        {**query, "signature": ""},
    ]
    with api.client() as nobody:
        for params in forged:
            assert nobody.get(path, params=params).status_code == 403, params
        assert nobody.get(f"/api/jobs/{other.id}/file", params=query).status_code == 403, "it is for one file"
        assert nobody.get("/api/jobs/../../etc/passwd/file", params=query).status_code in {403, 404}


def test_links_and_files_expire(api: Api, client: httpx.Client, worker: Worker, tenant: str) -> None:
    job = export(worker, api, tenant)
    links = api.services.jobs.links
    path = f"/api/jobs/{job.id}/file"
    with api.client() as nobody:
        expired_link = nobody.get(links.sign(path, int(time.time()) - 1))
        assert (expired_link.status_code, expired_link.json()["type"]) == (410, "/problems/result-expired")
        good = client.get(f"/api/jobs/{job.id}/result").json()["file"]["url"]
        # Maintenance has removed it.
        (api.services.settings.exports / f"{job.id}.csv").unlink()
        assert nobody.get(good).status_code == 410
        assert client.get(f"/api/jobs/{job.id}/result").status_code == 410
    expired = export(worker, api, tenant, expires_at=(datetime.now(UTC) - timedelta(seconds=1)).isoformat())
    assert client.get(f"/api/jobs/{expired.id}/result").status_code == 410
    soon = export(worker, api, tenant, expires_at=(datetime.now(UTC) + timedelta(seconds=60)).isoformat())
    file = client.get(f"/api/jobs/{soon.id}/result").json()["file"]
    assert file["url_expires_at"] <= file["expires_at"], "no link outlives its file"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "{id}.exe", "x{id}.csv", "{id}.csv/../x", "{other}.csv"]
)
def test_only_a_jobs_own_export_is_served(
    api: Api, client: httpx.Client, worker: Worker, tenant: str, name: str, tmp_path: Path
) -> None:
    """Whatever stands in a result, no other file is reached by it."""
    other = export(worker, api, tenant)
    job = worker.submit(tenant, "export_sales_report")
    result = {"file": name.format(id=job.id, other=other.id), "bytes": 1, "expires_at": "2999-01-01T00:00:00+00:00"}
    worker.finish(job.id, result=result)
    assert client.get(f"/api/jobs/{job.id}/result").json()["file"] is None
    link = api.services.jobs.links.sign(f"/api/jobs/{job.id}/file", int(time.time()) + 60)
    with api.client() as nobody:
        assert nobody.get(link).status_code == 410
