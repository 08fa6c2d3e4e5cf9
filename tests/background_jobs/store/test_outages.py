"""Redis down, hung, restarted, without scripts, or full: an error in time that says what to do, or no effect."""

import asyncio
import signal
import time

import pytest
import redis
import redis.asyncio

from background_jobs.store import AsyncJobStore, JobStore, JobStoreOptions, JobStoreUnavailableError
from tests.background_jobs.store.conftest import PATIENT, running, states, submission
from tests.servers import redis_servers

HASTY = JobStoreOptions(timeout_s=0.3)
# A busy machine may need long to come back to a thread; a call that hangs would need for ever.
IN_TIME_S = 10


def test_a_redis_that_is_down_or_hangs_is_an_error_in_time(own_server):
    store = JobStore(redis.Redis(port=own_server.port), HASTY)
    job = store.submit(submission()).job
    own_server.signal(signal.SIGSTOP)
    calls = [lambda: store.get(job.id), lambda: store.feed("0", block_ms=5000), store.check_server, store.sweep]
    for call in calls:
        started_at = time.monotonic()
        with pytest.raises(JobStoreUnavailableError, match=r"Timeout.*check that Redis runs and can be reached"):
            call()
        assert time.monotonic() - started_at < IN_TIME_S
    own_server.signal(signal.SIGCONT)
    redis_servers.until(lambda: own_server.client().ping())
    assert store.get(job.id) == job
    own_server.kill()
    for call in calls:
        with pytest.raises(JobStoreUnavailableError, match="check that Redis runs"):
            call()
    own_server.start()
    assert store.get(job.id) is None, "nothing was kept: no append-only file"
    assert store.submit(submission()).outcome == "created"
    store.close()


def test_the_async_store_raises_the_same_and_recovers(own_server):
    async def scenario() -> None:
        store = AsyncJobStore(redis.asyncio.Redis(port=own_server.port), HASTY)
        job = (await store.submit(submission())).job
        own_server.signal(signal.SIGSTOP)
        started_at = time.monotonic()
        for answer in await asyncio.gather(*(store.get(job.id) for _ in range(20)), return_exceptions=True):
            assert isinstance(answer, JobStoreUnavailableError), answer
        with pytest.raises(JobStoreUnavailableError, match="check that Redis runs"):
            await store.feed("0", block_ms=5000)
        assert time.monotonic() - started_at < IN_TIME_S
        own_server.signal(signal.SIGCONT)
        await asyncio.to_thread(redis_servers.until, lambda: own_server.client().ping())
        assert await store.get(job.id) == job
        # A caller that goes away in the middle of a call leaves no answer for the next one.
        for _ in range(20):
            call = asyncio.ensure_future(store.submit(submission(params={"gone": True})))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            call.cancel()
            assert await store.get(job.id) == job
        own_server.kill()
        with pytest.raises(JobStoreUnavailableError):
            await store.get(job.id)
        await store.aclose()

    asyncio.run(scenario())


def test_a_restart_with_an_append_only_file_loses_nothing(tmp_path):
    server = redis_servers.Server(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    try:
        store = JobStore(redis.Redis(port=server.port), PATIENT)
        epoch, job = store.begin_epoch(), running(store, max_attempts=2)
        queued = store.submit(submission(coalesce_key="k", delay_s=0)).job
        assert store.check_server() == []
        server.kill()
        server.start()
        # The store's old connection is broken and its scripts are gone; the call is sent again on a new one.
        assert store.report(job.id, 1, percent=50).is_current
        assert store.epoch() == epoch
        assert store.fail(job.id, 1, "STEP_FAILURE", "it broke").job.attempt == 2
        assert store.submit(submission(coalesce_key="k")).job.id == queued.id
        assert [claim.job.id for claim in store.claim(limit=5)] == [queued.id]
        assert states(store, job.id) == ["queued", "dispatched", "running", "retrying"]
        store.close()
    finally:
        server.stop()


def test_flushed_scripts_are_loaded_again(store, client, run_async):
    job = running(store)
    client.script_flush()
    assert store.report(job.id, 1, percent=1).is_current
    client.script_flush()

    async def scenario(async_store: AsyncJobStore):
        return await async_store.get(job.id)

    assert run_async(scenario) == store.get(job.id)


def test_server_settings_that_would_lose_jobs_are_reported(store, own_server):
    assert [warning.partition(":")[0] for warning in store.check_server()] == [
        "Redis may lose the last seconds of jobs when it restarts"
    ]
    own_server.client().config_set("maxmemory-policy", "allkeys-lru")
    [evicts, _] = JobStore(redis.Redis(port=own_server.port), PATIENT).check_server()
    assert "maxmemory-policy is allkeys-lru" in evicts


def test_a_full_redis_refuses_new_jobs_whole_and_lets_others_end(own_server):
    store = JobStore(redis.Redis(port=own_server.port), PATIENT)
    job = running(store)
    own_server.client().config_set("maxmemory", 1)
    with pytest.raises(JobStoreUnavailableError, match="Redis is full: raise its maxmemory"):
        store.submit(submission())
    with pytest.raises(JobStoreUnavailableError, match="Redis is full"):
        store.report(job.id, 1, percent=5)
    assert store.get(job.id) == job
    assert [each.id for each in store.list().jobs] == [job.id]
    assert store.succeed(job.id, 1).applied


def test_a_replica_is_refused_by_name(own_server, tmp_path):
    replica = redis_servers.Server(tmp_path / "replica", "--replicaof", "127.0.0.1", str(own_server.port))
    try:
        with pytest.raises(JobStoreUnavailableError, match="that Redis is a replica: point the store at the master"):
            JobStore(redis.Redis(port=replica.port), PATIENT).submit(submission())
    finally:
        replica.stop()


def test_callers_beyond_the_pool_wait_as_long_as_redis_answers(own_server):
    async def scenario() -> None:
        # All together take longer than one call may, and none of them is refused.
        store = AsyncJobStore(redis.asyncio.Redis(port=own_server.port), JobStoreOptions(timeout_s=1, connections=2))
        job = (await store.submit(submission())).job
        answers = await asyncio.gather(*(store.get(job.id) for _ in range(5_000)))
        assert answers == [job] * len(answers)
        await store.aclose()

    asyncio.run(scenario())


def test_waiting_callers_fail_with_those_before_in_an_outage(own_server):
    async def scenario() -> None:
        options = JobStoreOptions(timeout_s=0.3, connections=2)
        store = AsyncJobStore(redis.asyncio.Redis(port=own_server.port), options)
        job = (await store.submit(submission())).job
        own_server.signal(signal.SIGSTOP)
        started_at = time.monotonic()
        # One after another they would take a minute.
        for answer in await asyncio.gather(*(store.get(job.id) for _ in range(200)), return_exceptions=True):
            assert isinstance(answer, JobStoreUnavailableError), answer
        assert time.monotonic() - started_at < IN_TIME_S
        own_server.signal(signal.SIGCONT)
        await asyncio.to_thread(redis_servers.until, lambda: own_server.client().ping())
        assert await store.get(job.id) == job
        await store.aclose()

    asyncio.run(scenario())
