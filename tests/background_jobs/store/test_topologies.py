"""A cluster of three masters: the one hash tag keeps every script on one node. Sync and async answer alike."""

import inspect

import pytest
import redis
import redis.asyncio

from background_jobs.store import AsyncJobStore, JobStore, JobStoreUnavailableError
from tests.background_jobs.store.conftest import PATIENT, running, states, submission
from tests.servers import redis_servers


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with redis_servers.cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


async def life(store: AsyncJobStore) -> list[str]:
    """One job's life and a look at everything, awaited."""
    job = (await store.submit(submission(kind="refresh", coalesce_key="k", idempotency_key="i"))).job
    await store.set_waiting(None)
    [claim] = await store.claim(limit=5)
    await store.dispatched(job.id, claim.attempt)
    await store.report(job.id, 1, percent=50)
    await store.sweep()
    await store.succeed(job.id, 1)
    assert (await store.list("acme")).jobs[0].id == job.id
    assert (await store.stats()).finished["refresh", "succeeded", ""] == 1
    end = (await store.feed_bounds())[1]
    assert (await store.feed("0", limit=10_000))[-1].feed_id == end
    assert await store.feed(end, block_ms=1) == []
    assert len(await store.check_server()) == 1
    return [event.state.value for event in await store.events(job.id) if event.type == "state"]


def test_the_store_works_on_a_cluster(nodes):
    store = JobStore(redis.RedisCluster(host="127.0.0.1", port=nodes[0].port), PATIENT)
    jobs = [running(store, tenant=f"t{number}") for number in range(20)]
    for job in jobs:
        assert store.succeed(job.id, 1).applied
        assert states(store, job.id) == ["queued", "dispatched", "running", "succeeded"]
    assert len(store.list().jobs) == 20
    assert len(store.check_server()) == 1
    assert len(store.feed("0", block_ms=5)) == 80
    store.close()
    key_counts = [node.client().dbsize() for node in nodes[:3]]
    assert sorted(key_counts)[:2] == [0, 0], "all keys are on one node"


async def test_the_async_store_works_on_a_cluster(nodes):
    client = redis.asyncio.RedisCluster(host="127.0.0.1", port=nodes[1].port)
    store = AsyncJobStore(client, PATIENT)
    assert await life(store) == ["queued", "dispatched", "running", "succeeded"]
    await store.aclose()
    await client.aclose()


async def test_the_async_store_on_one_server(server):
    store = AsyncJobStore(redis.asyncio.Redis(port=server.port), PATIENT)
    assert await life(store) == ["queued", "dispatched", "running", "succeeded"]
    await store.aclose()


def test_an_unreachable_cluster_is_an_error():
    port = redis_servers.free_port()
    client = redis.Redis(port=port)
    with pytest.raises(JobStoreUnavailableError, match="check that Redis runs"):
        JobStore(client, PATIENT).begin_epoch()


def test_both_stores_have_the_same_operations():
    def of(store: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters.values())
            for name, method in vars(store).items()
            if not name.startswith("_") and callable(method)
        }

    sync, asynchronous = of(JobStore), of(AsyncJobStore)
    del sync["close"], asynchronous["aclose"]
    assert sync == asynchronous
