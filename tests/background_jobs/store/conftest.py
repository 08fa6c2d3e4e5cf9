"""Fixtures: the limiter suite's real Redis servers, and job stores on them."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
import redis
import redis.asyncio

from background_jobs.store import AsyncJobStore, Job, JobStore, JobStoreOptions, Submission
from tests.ratelimit_service.conftest import client, own_server, redis_session, server  # noqa: F401 - found by their names

# A test that asks for correctness, not for time, must not be answered by a timeout on a busy machine. The clock of many
# tests jumps, which is no outage unless the test says so.
PATIENT = JobStoreOptions(timeout_s=30.0, sweep_gap_s=1e6)
T0 = 1_790_000_000_000


@pytest.fixture
def make_store(client: redis.Redis) -> Iterator[Callable[..., JobStore]]:  # noqa: F811 - the fixture
    """Makes stores with a patient timeout; closes them."""
    stores = []

    def make(options: JobStoreOptions = PATIENT, **more) -> JobStore:
        store = JobStore(more.pop("client", client), options)
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(make_store) -> JobStore:
    return make_store()


@pytest.fixture
def run_async(server) -> Callable[..., object]:  # noqa: F811 - the fixture
    """Runs a coroutine function with an async store, which it closes."""

    def run(scenario, options: JobStoreOptions = PATIENT, port: int = server.port):
        async def body():
            store = AsyncJobStore(redis.asyncio.Redis(port=port), options)
            try:
                return await scenario(store)
            finally:
                await store.aclose()

        return asyncio.run(body())

    return run


def submission(kind: str = "export", tenant: str = "acme", **more) -> Submission:
    return Submission(kind, tenant, more.pop("params", {}), **more)


def running(store: JobStore, now_ms: int | None = None, **more) -> Job:
    """A job whose first attempt runs."""
    job = store.submit(submission(**more), now_ms=now_ms).job
    store.started(job.id, 1, now_ms=now_ms)
    return store.get(job.id)


def states(store: JobStore, job_id: str) -> list[str]:
    """The states in the job's events, in order."""
    return [event.state.value for event in store.events(job_id) if event.type == "state"]
