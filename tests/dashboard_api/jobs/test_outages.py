"""Redis stopped, killed and back: jobs say so in time, dashboards and metrics go on, streams miss nothing."""

import asyncio
import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from background_jobs.store import Deadlines
from local_stack.waiting import wait_until
from tests.dashboard_api.jobs.conftest import MakeSettings
from tests.dashboard_api.jobs.streams import open_stream
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import Api, serve, token_for
from tests.servers.redis_servers import Server

# A little more than the store's own patience: what a caller waits at most.
SOON_S = 5.0


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis that keeps what it was told, so that it can be killed."""
    server = Server(tmp_path_factory.mktemp("own-redis"), "--appendonly", "yes", "--appendfsync", "always")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_api(own_redis: Server, job_settings: MakeSettings) -> Iterator[Api]:
    with serve(job_settings(redis_url=f"redis://127.0.0.1:{own_redis.port}/0")) as api:
        yield api


def readiness(client: httpx.Client) -> bool:
    usable: bool = client.get("/readyz").json()["jobs"]["is_usable"]
    return usable


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_jobs_are_503_and_the_rest_goes_on(own_api: Api, own_redis: Server, tenant: str, how: str) -> None:
    with own_api.client(token_for(tenant)) as client, Worker.on(own_redis.port) as worker:
        wait_until(lambda: readiness(client), timeout_s=30, what="jobs to be usable")
        job = worker.submit(tenant)
        page_before = client.get("/metrics").text
        assert 'jobs_queue_depth{kind="hello_world"} 1.0' in page_before
        if how == "stopped":
            own_redis.signal(signal.SIGSTOP)
        else:
            own_redis.kill()
        try:
            for method, path in (
                ("GET", "/api/jobs"),
                ("GET", f"/api/jobs/{job.id}"),
                ("POST", f"/api/jobs/{job.id}/cancel"),
                ("POST", "/api/jobs"),
            ):
                started_at = time.monotonic()
                answer = client.request(method, path, json={"kind": "hello_world"} if path == "/api/jobs" else None)
                assert (answer.status_code, answer.json()["type"]) == (503, "/problems/jobs-unavailable"), path
                assert int(answer.headers["retry-after"]) >= 1
                assert "127.0.0.1" not in answer.text
                assert time.monotonic() - started_at < SOON_S * 4
            metrics = client.get("/metrics")
            assert metrics.status_code == 200
            assert "jobs_store_up 0.0" in metrics.text
            assert "salespulse_http_request_seconds_count" in metrics.text
            assert "jobs_queue_depth" not in metrics.text
            assert client.get("/jobs").status_code == 200
            assert client.get("/healthz").status_code == 200
            wait_until(lambda: not readiness(client), timeout_s=30, what="/readyz to say so")
        finally:
            if how == "stopped":
                own_redis.signal(signal.SIGCONT)
            else:
                own_redis.start()
        wait_until(lambda: readiness(client), timeout_s=30, what="jobs to be usable again")
        assert client.get(f"/api/jobs/{job.id}").json()["id"] == job.id
        assert "jobs_store_up 1.0" in client.get("/metrics").text


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_a_stream_outlives_an_outage_and_misses_nothing(
    own_api: Api, own_redis: Server, tenant: str, how: str
) -> None:
    with Worker.on(own_redis.port) as worker:
        events = own_api.services.jobs.events
        await wait_for(lambda: events.is_connected, "the feed")
        job = worker.submit(tenant, deadlines=Deadlines(lease_s=0))
        attempt = worker.start(job.id)
        async with open_stream(own_api, f"/api/jobs/{job.id}/events", token_for(tenant)) as stream:
            assert len(await stream.take(3)) == 3
            if how == "stopped":
                own_redis.signal(signal.SIGSTOP)
            else:
                own_redis.kill()
            await wait_for(lambda: not events.is_connected, "the outage to be noticed")
            if how == "stopped":
                own_redis.signal(signal.SIGCONT)
            else:
                await asyncio.to_thread(own_redis.start)
            for number in range(10):
                await asyncio.to_thread(worker.store.report, job.id, attempt, percent=number)
            await asyncio.to_thread(worker.store.succeed, job.id, attempt)
            events = await stream.all()
        assert [event.id for event in events] == list(range(4, worker.job(job.id).seq + 1))
        assert events[-1].data["state"] == "succeeded"


async def test_a_feed_that_begins_anew_is_followed(own_api: Api, own_redis: Server, tenant: str) -> None:
    """Redis is back without its data: what happens from then on is told all the same."""
    with Worker.on(own_redis.port) as worker:
        events = own_api.services.jobs.events
        await wait_for(lambda: events.is_connected, "the feed")
        worker.submit(tenant)
        # As if the feed had been written by a server whose clock is years ahead.
        events._position = "99999999999999-0"
        own_redis.kill()
        await wait_for(lambda: not events.is_connected, "the outage to be noticed")
        own_redis.start()
        await wait_for(lambda: events.is_connected, "the feed to be back")
        async with open_stream(own_api, "/api/jobs/events", token_for(tenant)) as stream:
            await wait_for(lambda: events._of_tenant.get(tenant), "the stream to be open")
            job = worker.submit(tenant)
            [event] = await stream.take(1)
        assert event.data["job_id"] == job.id


async def wait_for(condition: object, what: str) -> None:
    await asyncio.to_thread(wait_until, condition, timeout_s=30, what=what)  # type: ignore[arg-type]
