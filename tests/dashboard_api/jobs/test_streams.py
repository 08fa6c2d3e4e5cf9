"""Following a job: in order, nothing twice, nothing left out, whatever happens to the connection; and no reader can hurt."""

import asyncio
import contextlib
import random
import socket
import time
from urllib.parse import urlsplit

import pytest

from background_jobs.store import JobState
from dashboard_api import server
from dashboard_api.jobs import event_stream, stream_limits
from dashboard_api.jobs.event_hub import PENDING_MAX
from local_stack.waiting import wait_until
from tests.dashboard_api.jobs.conftest import MakeSettings
from tests.dashboard_api.jobs.streams import TIMEOUT_S, Event, open_stream
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import Api, serve, token_for


def states(events: list[Event]) -> list[str]:
    return [event.data["state"] for event in events if event.type == "state"]


async def test_a_job_is_followed_to_its_ending(api: Api, tenant: str, worker: Worker) -> None:
    job = worker.submit(tenant)
    async with open_stream(api, f"/api/jobs/{job.id}/events", token_for(tenant)) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert stream.headers["cache-control"] == "no-store"
        assert "content-length" not in stream.headers
        [first] = await stream.take(1)
        assert (first.id, first.type, first.data["state"]) == (1, "state", "queued")
        await asyncio.to_thread(worker.finish, job.id, reports=20)
        rest = await stream.all()
    events = [first, *rest]
    last = worker.job(job.id).seq
    assert [event.id for event in events] == list(range(1, last + 1))
    assert states(events) == ["queued", "dispatched", "running", "succeeded"]
    percents = [event.data["percent"] for event in events if event.type == "progress"]
    assert percents == [100 * number / 20 for number in range(20)]
    assert events[-1].data | {"at": None} == {
        "job_id": job.id, "kind": "hello_world", "seq": last, "type": "state", "state": "succeeded", "attempt": 1,
        "code": None, "percent": 100.0, "step": "step 19", "message": None, "counts": {}, "at": None,
    }  # fmt: skip


async def test_a_reader_that_comes_and_goes_misses_nothing(api: Api, tenant: str, worker: Worker) -> None:
    """Cut off again and again while events come, it goes on with the id that it has: by header, and by parameter."""
    job = worker.submit(tenant)
    attempt = worker.start(job.id)
    chance = random.Random(11)
    done = asyncio.Event()

    async def work() -> None:
        for number in range(600):
            await asyncio.to_thread(worker.store.report, job.id, attempt, percent=number / 6, message=f"at {number}")
        await asyncio.to_thread(worker.store.succeed, job.id, attempt)
        done.set()

    task = asyncio.create_task(work())
    events: list[Event] = []
    cuts = 0
    path = f"/api/jobs/{job.id}/events"
    while not events or events[-1].data["state"] != "succeeded":
        last = str(events[-1].id) if events else "0"
        headers = {"Last_Event_ID": last} if cuts % 2 else {}
        async with open_stream(
            api, path if headers else f"{path}?after={last}", token_for(tenant), **headers
        ) as stream:
            events += await stream.take(chance.randint(1, 40))
        cuts += 1
    await task
    assert done.is_set()
    assert cuts > 10
    assert [event.id for event in events] == list(range(1, worker.job(job.id).seq + 1))


async def test_what_the_feed_loses_is_read_from_the_job_itself(api: Api, tenant: str, worker: Worker) -> None:
    job = worker.submit(tenant)
    hub = api.services.jobs.events
    async with open_stream(api, f"/api/jobs/{job.id}/events", token_for(tenant)) as stream:
        await stream.take(1)
        deliver, delivered = hub._deliver, []

        def forgetful(event: object) -> None:
            # Every second event never arrives here.
            delivered.append(event)
            if len(delivered) % 2:
                deliver(event)  # type: ignore[arg-type]

        hub._deliver = forgetful  # type: ignore[method-assign,assignment]
        try:
            attempt = worker.start(job.id)
            for number in range(30):
                worker.store.report(job.id, attempt, percent=number)
            events = await stream.take(30)
        finally:
            del hub._deliver
        worker.store.succeed(job.id, attempt)
        events += await stream.all()
    assert [event.id for event in events] == list(range(2, worker.job(job.id).seq + 1))


async def test_an_ended_job_is_told_and_then_there_is_nothing_more(api: Api, tenant: str, worker: Worker) -> None:
    job = worker.finish(worker.submit(tenant).id)
    path = f"/api/jobs/{job.id}/events"
    async with open_stream(api, path, token_for(tenant)) as stream:
        assert states(await stream.all()) == ["queued", "dispatched", "running", "succeeded"]
    async with open_stream(api, f"{path}?after={job.seq}", token_for(tenant)) as stream:
        assert stream.status == 204, "an EventSource that is told so does not come again"
    # Its events are kept for an hour, the job for days: then its ending alone is told.
    worker.store._client.delete(f"{worker.store.options.prefix}events:{job.id}")
    async with open_stream(api, path, token_for(tenant)) as stream:
        [final] = await stream.all()
    assert (final.id, final.data["state"], final.data["seq"]) == (job.seq, "succeeded", job.seq)


@pytest.mark.parametrize("query", ["after=-1", "after=x", "before=3", "after=1&after=2", "header"])
async def test_where_to_go_on_must_be_said_rightly(api: Api, tenant: str, worker: Worker, query: str) -> None:
    job = worker.submit(tenant)
    headers = {"Last_Event_ID": "of another API"} if query == "header" else {}
    path = f"/api/jobs/{job.id}/events"
    async with open_stream(api, path if headers else f"{path}?{query}", token_for(tenant), **headers) as stream:
        assert stream.status == 422


async def test_all_of_a_tenants_jobs_are_followed_together(api: Api, tenant: str, worker: Worker) -> None:
    async with open_stream(api, "/api/jobs/events", token_for(tenant)) as stream:
        await wait_for_subscription(api, tenant)
        jobs = [worker.submit(tenant) for _ in range(3)]
        worker.submit("somebody-else")
        for job in jobs:
            await asyncio.to_thread(worker.finish, job.id)
        events = await stream.take(12)
    assert {event.data["job_id"] for event in events} == {job.id for job in jobs}
    assert {event.id for event in events} == {0}, "ids are a single job's"
    for job in jobs:
        own = [event.data["seq"] for event in events if event.data["job_id"] == job.id]
        assert own == [1, 2, 3, 4]


async def wait_for_subscription(api: Api, tenant: str) -> None:
    hub = api.services.jobs.events
    await asyncio.to_thread(
        wait_until, lambda: hub._of_tenant.get(tenant), timeout_s=TIMEOUT_S, what="the stream to be open"
    )


async def test_a_silent_stream_beats_and_ends_with_its_credential(
    job_settings: MakeSettings, tenant: str, worker: Worker
) -> None:
    with serve(job_settings()) as api:
        object.__setattr__(api.services.jobs, "heartbeat_s", 0.1)
        job = worker.submit(tenant)
        # A token is believed for 10 s longer than it says.
        token = token_for(tenant, valid_s=3, now=time.time() - 10)
        async with open_stream(api, f"/api/jobs/{job.id}/events", token) as stream:
            assert [event.id for event in await stream.all()] == [1]
            assert stream.heartbeats >= 2
        async with open_stream(api, f"/api/jobs/{job.id}/events", token) as stream:
            assert stream.status == 401


async def test_a_user_may_have_so_many_streams(api: Api, tenant: str, worker: Worker) -> None:
    job = worker.submit(tenant)
    path, token = f"/api/jobs/{job.id}/events", token_for(tenant)
    contexts = [open_stream(api, path, token) for _ in range(stream_limits.PER_USER)]
    streams = [await each.__aenter__() for each in contexts]
    assert {stream.status for stream in streams} == {200}
    async with open_stream(api, path, token) as one_more:
        assert one_more.status == 429
        assert int(one_more.headers["retry-after"]) >= 1
    async with open_stream(api, path, token_for(tenant, subject="a colleague")) as other:
        assert other.status == 200
    for each in contexts:
        await each.__aexit__(None, None, None)
    limits = api.services.jobs.limits
    await asyncio.to_thread(wait_until, lambda: limits.total == 0, timeout_s=TIMEOUT_S, what="the slots to be free")


def test_a_reader_that_does_not_read_is_dropped(
    api: Api, tenant: str, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits for it is bounded; it loses nothing, since it resumes."""
    monkeypatch.setattr(event_stream, "UNREAD_MAX_S", 600.0)
    job = worker.submit(tenant)
    attempt = worker.start(job.id)
    address = urlsplit(api.url)
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        lazy.connect((address.hostname, address.port))
        lazy.sendall(
            f"GET /api/jobs/{job.id}/events HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token_for(tenant)}\r\n\r\n".encode()
        )
        hub, jobs = api.services.jobs.events, api.services.jobs
        wait_until(lambda: hub._of_job.get(job.id), timeout_s=TIMEOUT_S, what="the stream to be open")
        [subscription] = hub._of_job[job.id]
        sent_count = 0
        while not subscription.is_overrun:
            worker.store.report(job.id, attempt, message=f"{sent_count}{'x' * 3_900}")
            sent_count += 1
            assert sent_count < 20_000, "it is never dropped"
            assert len(subscription._pending) <= PENDING_MAX
        wait_until(lambda: jobs.limits.total == 0, timeout_s=TIMEOUT_S, what="the stream to be over")
        assert job.id not in hub._of_job
        assert "too slowly" in caplog.text
    worker.store.succeed(job.id, attempt)


async def test_one_that_reads_nothing_for_long_is_dropped_too(
    job_settings: MakeSettings, tenant: str, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "UNREAD_MAX_S", 0.2)
    monkeypatch.setattr(server, "_CLOSING_CHECKS_MAX", 0)
    with serve(job_settings()) as api:
        job = worker.submit(tenant)
        attempt = worker.start(job.id)
        for number in range(2_500):
            worker.store.report(job.id, attempt, message=f"{number}{'x' * 3_900}")
        async with open_stream(api, f"/api/jobs/{job.id}/events", token_for(tenant), limit=1_024):
            limits = api.services.jobs.limits
            await asyncio.to_thread(
                wait_until, lambda: limits.total == 0, timeout_s=TIMEOUT_S, what="the stream to be dropped"
            )
            # What the server's own buffer still holds for it goes too, a little later.
            await asyncio.to_thread(
                wait_until, lambda: not connections(api), timeout_s=TIMEOUT_S, what="its connection to be cut off"
            )


def connections(api: Api) -> int:
    """How many the server has open."""
    return len(api.server.server_state.connections)


async def test_streams_end_when_the_server_does(job_settings: MakeSettings, tenant: str, worker: Worker) -> None:
    """At once, in good order, so that a restart need not wait for jobs; the reader resumes elsewhere."""
    job = worker.submit(tenant)
    token = token_for(tenant)
    with contextlib.ExitStack() as serving:
        api = serving.enter_context(serve(job_settings()))
        async with (
            open_stream(api, f"/api/jobs/{job.id}/events", token) as one,
            open_stream(api, "/api/jobs/events", token) as all_of_them,
        ):
            await one.take(1)
            await wait_for_subscription(api, tenant)
            started_at = time.monotonic()
            stopping = asyncio.get_running_loop().run_in_executor(None, serving.close)
            assert await one.all() == []
            assert await all_of_them.all() == []
            await stopping
            assert one.is_complete
            assert all_of_them.is_complete
            assert time.monotonic() - started_at < 8, "not the ten seconds that hanging connections are given"
    assert worker.job(job.id).state is JobState.QUEUED
