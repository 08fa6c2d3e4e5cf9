"""Measure streams of many clients that each follow a job: completeness, order and delay of their events."""

import asyncio
import multiprocessing
import statistics
import time
import uuid
from datetime import datetime

import redis

from background_jobs.store import Caps, JobStore, Submission
from benchmarks.jobs.environment import Api, now_ms
from benchmarks.report import Figure, Report

STREAMS = 500
_TENANTS = 50
_WITHIN_S = 120.0
# What is asked is how many streams a process serves, not how many may come in the same moment.
_OPENING_AT_ONCE = 20


def measure_streams(report: Report, api: Api, *, events: int, rate: float) -> None:
    """Follow 500 jobs, each by one client, while another process moves them.

    Args:
        report: takes the figures.
        api: that streams.
        events: reports of progress of each job.
        rate: reports a second, of all jobs together.
    """
    store = JobStore(redis.Redis.from_url(api.redis_url))
    tenants = [f"tenant-{uuid.uuid4().hex[:8]}" for _ in range(_TENANTS)]
    jobs = [
        store.submit(Submission(kind="hello_world", tenant=tenants[number % _TENANTS], params={})).job
        for number in range(STREAMS)
    ]
    received = asyncio.run(_follow(api, [(job.tenant, job.id) for job in jobs], events, rate))
    lags, wrong, missing = [], 0, 0
    for job in jobs:
        seen, now = received[job.id], store.get(job.id)
        assert now is not None
        wrong += [seq for seq, _ in seen] != sorted(seq for seq, _ in seen)
        missing += now.seq - len({seq for seq, _ in seen})
        # What was there before the stream was opened is not late.
        lags += [lag for seq, lag in seen if seq > 1]
    store.close()
    p95 = statistics.quantiles(lags, n=100)[94]
    note = f"{len(lags):,} events, {rate:g} a second, one process of the API; p50 {statistics.median(lags):.1f} ms"
    report.add(
        Figure("events that 500 streams did not get", missing, "events", bound=0),
        Figure("streams of 500 with an event out of order or twice", wrong, "streams", bound=0),
        Figure("change to a client's stream, p95, 500 streams", p95, "ms", bound=200.0, note=note),
    )


async def _follow(
    api: Api, jobs: list[tuple[str, str]], events: int, rate: float
) -> dict[str, list[tuple[int, float]]]:
    received: dict[str, list[tuple[int, float]]] = {job_id: [] for _, job_id in jobs}
    opened = asyncio.Semaphore(0)
    opening = asyncio.Semaphore(_OPENING_AT_ONCE)

    async def one(tenant: str, job_id: str) -> None:
        await opening.acquire()
        async with await api.connect() as connection:
            async for number, _, data in connection.events(f"/api/jobs/{job_id}/events", api.credential(tenant)):
                if not received[job_id]:
                    opened.release()
                    opening.release()
                at = datetime.fromisoformat(data["at"])
                received[job_id].append((int(number), now_ms() - at.timestamp() * 1000))

    async with asyncio.timeout(_WITHIN_S + events * len(jobs) / rate), asyncio.TaskGroup() as group:
        for tenant, job_id in jobs:
            group.create_task(one(tenant, job_id))
        for _ in jobs:
            await opened.acquire()
        ids = [job_id for _, job_id in jobs]
        process = multiprocessing.get_context("spawn").Process(target=_move, args=(api.redis_url, ids, events, rate))
        process.start()
    process.join()
    return received


def _move(redis_url: str, ids: list[str], events: int, rate: float) -> None:
    """Do the jobs, by the clock: all start, report in turns, and end."""
    store = JobStore(redis.Redis.from_url(redis_url))
    attempts: dict[str, int] = {}
    while not attempts.keys() >= set(ids):
        claims = store.claim(limit=1000, caps=Caps(per_tenant=100_000), ttl_s=3600)
        attempts |= {claim.job.id: claim.attempt for claim in claims}
    started_at, done = time.monotonic(), 0
    for step in range(events + 3):
        for job_id in ids:
            time.sleep(max(0.0, started_at + done / rate - time.monotonic()))
            done += 1
            if step == 0:
                store.dispatched(job_id, attempts[job_id])
            elif step == 1:
                store.started(job_id, attempts[job_id])
            elif step == events + 2:
                store.succeed(job_id, attempts[job_id])
            else:
                store.report(job_id, attempts[job_id], percent=100 * (step - 1) / events, step=f"step {step}")
    store.close()
