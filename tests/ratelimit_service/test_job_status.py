"""Job status over a real Redis: documents arrive, tenants stay apart, and followers return after an outage."""

import asyncio
import logging
import queue
import threading
from collections.abc import Iterator

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from ratelimit_service import UsageError
from ratelimit_service.job_status import call_on_change, channel_name, follow, follow_async, publish, publish_async

WAIT_S = 60.0


def document(job_id: str = "j1", tenant: str = "acme", status: str = "running", **more) -> dict:
    return {"job_id": job_id, "tenant": tenant, "status": status, "updated_at": "2026-11-30T14:00:00Z", **more}


@pytest.fixture
def events() -> queue.Queue:
    return queue.Queue()


@pytest.fixture
def listen(client, events) -> Iterator:
    """Starts listeners that put their documents into `events`, each once it is subscribed; stops them."""
    stops = []

    def start(callback=None, client=client, **options) -> threading.Semaphore:
        connections = threading.Semaphore(0)
        stops.append(call_on_change(client, callback or events.put, on_connect=connections.release, **options))
        assert connections.acquire(timeout=WAIT_S)
        return connections

    yield start
    for stop in stops:
        stop()


def test_a_job_and_its_tenant_are_followed_and_others_are_not(client, listen, events):
    job_events: queue.Queue = queue.Queue()
    listen(tenant="acme")
    listen(job_events.put, job_id="j1", tenant=None)
    for each in (
        document(progress=0.5),
        document(tenant="other", job_id="j9"),
        document(job_id="j2"),
        document(status="succeeded"),
    ):
        publish(client, each)
    received = [events.get(timeout=WAIT_S) for _ in range(3)]
    assert [(event["job_id"], event["status"]) for event in received] == [
        ("j1", "running"),
        ("j2", "running"),
        ("j1", "succeeded"),
    ]
    assert received[0] == {**document(progress=0.5), "version": 1}
    assert [job_events.get(timeout=WAIT_S)["status"] for _ in range(2)] == ["running", "succeeded"]
    assert events.empty()
    assert job_events.empty()


def test_a_callback_that_fails_gets_later_documents(client, listen, events, caplog):
    def fail_once(event: dict) -> None:
        events.put(event)
        if event["status"] == "queued":
            raise RuntimeError("the callback fails")

    listen(fail_once, job_id="j1")
    publish(client, document(status="queued"))
    publish(client, document())
    assert [events.get(timeout=WAIT_S)["status"] for _ in range(2)] == ["queued", "running"]
    assert "the callback fails" in caplog.text


def test_what_is_no_document_of_this_version_is_ignored(client, listen, events, caplog):
    listen(job_id="strange")
    with caplog.at_level(logging.WARNING):
        for data in (b"\xff", b"[", b"7", b'{"version": 2}', b"[" * 100_000):
            client.publish(channel_name(job_id="strange"), data)
        publish(client, document("strange"))
        assert events.get(timeout=WAIT_S)["status"] == "running"
    assert len([record for record in caplog.records if "ignored a message" in record.message]) == 5


def test_followers_return_after_an_outage(own_server, listen, events):
    client = redis.Redis(port=own_server.port, retry=Retry(NoBackoff(), 0))
    connections = listen(client=client, tenant="acme")
    own_server.kill()
    with pytest.raises(redis.RedisError):
        publish(client, document(status="lost"))
    own_server.start()
    assert connections.acquire(timeout=WAIT_S), "on_connect says when to read the record again"
    publish(client, document(status="succeeded"))
    assert events.get(timeout=WAIT_S)["status"] == "succeeded"


def test_sync_iteration_ends_when_it_is_stopped(client):
    stop = threading.Event()
    iterator = follow(client, job_id="j1", stop=stop, on_connect=lambda: publish(client, document()))
    assert next(iterator)["status"] == "running"
    stop.set()
    assert list(iterator) == []


async def test_async_publish_follow_outage_and_cancellation(own_server):
    client = redis.asyncio.Redis(port=own_server.port, retry=AsyncRetry(NoBackoff(), 0))
    connections, events = asyncio.Semaphore(0), asyncio.Queue()

    async def collect() -> None:
        async for event in follow_async(client, tenant="acme", on_connect=connections.release):
            events.put_nowait(event)

    task = asyncio.create_task(collect())
    async with asyncio.timeout(WAIT_S):
        await connections.acquire()
        await publish_async(client, document())
        assert (await events.get())["status"] == "running"
        own_server.kill()
        own_server.start()
        await connections.acquire()
        publisher = redis.asyncio.Redis(port=own_server.port)
        await publish_async(publisher, document(status="succeeded", tenant="other"))
        await publish_async(publisher, document(status="succeeded"))
        assert await events.get() == {**document(status="succeeded"), "version": 1}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert own_server.client().pubsub_channels() == []
    await publisher.aclose()
    await client.aclose()


@pytest.mark.parametrize("invalid", [{}, document(job_id=7), {**document(), "status": None}])
def test_invalid_documents_are_refused_and_not_published(client, listen, events, invalid):
    listen(tenant="acme")
    with pytest.raises(UsageError, match="job-status document"):
        publish(client, invalid)
    publish(client, document(status="last"))
    assert events.get(timeout=WAIT_S)["status"] == "last"


def test_exactly_one_of_job_and_tenant_is_named(client):
    for names in ({}, {"job_id": "j1", "tenant": "acme"}):
        with pytest.raises(UsageError, match="exactly one"):
            next(follow(client, **names))
        with pytest.raises(UsageError, match="exactly one"):
            call_on_change(client, print, **names)
