"""Five hundred streams at once: every event to each, in order, soon."""

import asyncio
import contextlib
import statistics

from dashboard_api.jobs import stream_limits
from tests.dashboard_api.jobs.streams import Stream, open_stream
from tests.dashboard_api.jobs.worker import Worker
from tests.dashboard_api.server import Api, token_for

STREAMS = 500
JOBS = 10
REPORTS = 12


async def test_every_stream_gets_every_event_in_order(api: Api, tenant: str, worker: Worker) -> None:
    jobs = [worker.submit(tenant) for _ in range(JOBS)]
    attempts = {job.id: worker.start(job.id) for job in jobs}
    tokens = [token_for(tenant, subject=f"user-{number}") for number in range(STREAMS // stream_limits.PER_USER + 1)]
    async with contextlib.AsyncExitStack() as stack:
        streams: list[Stream] = []
        for number in range(STREAMS):
            path = f"/api/jobs/{jobs[number % JOBS].id}/events"
            stream = await stack.enter_async_context(open_stream(api, path, tokens[number // stream_limits.PER_USER]))
            assert stream.status == 200
            # queued, dispatched, running: it follows from here on.
            assert [event.id for event in await stream.take(3)] == [1, 2, 3]
            streams.append(stream)
        assert api.services.jobs.limits.total == STREAMS
        assert len(api.services.jobs.events._of_job) == JOBS
        reading = [asyncio.create_task(stream.all()) for stream in streams]
        done_at = {}
        for number in range(REPORTS):
            for job in jobs:
                await asyncio.to_thread(worker.store.report, job.id, attempts[job.id], percent=8 * number + 1)
                done_at[job.id, number + 4] = asyncio.get_running_loop().time()
        for job in jobs:
            await asyncio.to_thread(worker.store.succeed, job.id, attempts[job.id])
            done_at[job.id, REPORTS + 4] = asyncio.get_running_loop().time()
        results = await asyncio.gather(*reading)
    delays = []
    for number, events in enumerate(results):
        assert [event.id for event in events] == list(range(4, REPORTS + 5)), number
        assert events[-1].data["state"] == "succeeded"
        delays += [event.read_at - done_at[event.data["job_id"], event.id] for event in events]
    # How soon is measured by `make bench-jobs`; here no reader may be left behind, however busy the machine.
    assert statistics.quantiles(delays, n=20)[-1] < 10
