"""Cancelling in each state, by whom it may be, and at the moment of the ending."""

import httpx
import pytest

from background_jobs.store import ENDED, JobState
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import Api, token_for


@pytest.mark.parametrize(
    ("state", "status", "after"),
    [
        (JobState.QUEUED, 200, JobState.CANCELED),
        (JobState.DISPATCHED, 202, JobState.CANCELING),
        (JobState.RUNNING, 202, JobState.CANCELING),
        (JobState.RETRYING, 202, JobState.CANCELING),
        (JobState.CANCELING, 202, JobState.CANCELING),
        (JobState.CANCELED, 200, JobState.CANCELED),
        (JobState.SUCCEEDED, 409, JobState.SUCCEEDED),
        (JobState.FAILED, 409, JobState.FAILED),
    ],
)
def test_cancelling(
    client: httpx.Client, worker: Worker, tenant: str, state: JobState, status: int, after: JobState
) -> None:
    job = worker.bring_to(state, worker.submit(tenant, max_attempts=3).id)
    response = client.post(f"/api/jobs/{job.id}/cancel")
    stored = worker.job(job.id)
    # One between two attempts has no run that would have to stop: it may be over at once.
    if state is JobState.RETRYING and stored.state is JobState.CANCELED:
        status, after = 200, JobState.CANCELED
    assert (response.status_code, stored.state) == (status, after), response.text
    if status == 409:
        assert response.json()["type"] == "/problems/job-ended"
        assert state in response.json()["detail"]
    else:
        assert response.json()["state"] == after
        assert ("retry-after" in response.headers) == (after not in ENDED)


def test_a_run_hears_of_it_and_its_truth_counts(client: httpx.Client, worker: Worker, tenant: str) -> None:
    """A run that stops is canceled; one that was done before it heard has succeeded, and says so."""
    stops, done = (worker.submit(tenant) for _ in range(2))
    attempts = {job.id: worker.start(job.id) for job in (stops, done)}
    for job in (stops, done):
        assert client.post(f"/api/jobs/{job.id}/cancel").status_code == 202
        assert worker.store.report(job.id, attempts[job.id], percent=99).is_cancel_requested
    worker.store.end_canceled(stops.id, attempts[stops.id])
    worker.store.succeed(done.id, attempts[done.id])
    assert client.get(f"/api/jobs/{stops.id}").json()["state"] == "canceled"
    assert client.get(f"/api/jobs/{done.id}").json()["state"] == "succeeded"
    assert client.post(f"/api/jobs/{stops.id}/cancel").status_code == 200
    assert client.post(f"/api/jobs/{done.id}/cancel").status_code == 409


def test_who_may_not_ask_for_a_job_may_not_cancel_it(api: Api, worker: Worker, tenant: str) -> None:
    job = worker.submit(tenant, "export_sales_report")
    with api.client(token_for(tenant, role="viewer")) as viewer:
        assert viewer.post(f"/api/jobs/{job.id}/cancel").status_code == 403
        assert viewer.get(f"/api/jobs/{job.id}").status_code == 200
    assert worker.job(job.id).state is JobState.QUEUED
