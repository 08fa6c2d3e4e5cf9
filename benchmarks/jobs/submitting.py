"""Measure submits over HTTP: their latency, and how many jobs result from racing requests."""

import asyncio
import random
import statistics
import time
import uuid
from typing import Any

import redis

from background_jobs.store import Caps, JobStore
from benchmarks.jobs.environment import Api
from benchmarks.jobs.http_client import Connection
from benchmarks.report import Figure, Report, figure

CLIENTS = 50
_PATH = "/api/jobs"
_HELLO = {"kind": "hello_world", "params": {"steps": 1, "step_seconds": 0}}
_REFRESH: dict[str, Any] = {"kind": "refresh_sales_summary", "params": {}}
_TRIGGERS = 500
# Of one tenant so many may wait.
_MOST_OF_A_TENANT = 900


def measure_submits(report: Report, api: Api, *, rate: float, seconds: float) -> None:
    """Fifty clients that each submit now and then, then fifty that submit without a pause."""
    paced = asyncio.run(_submit(api, seconds=seconds, every_s=CLIENTS / rate))
    p50, p95 = _percentiles(paced)
    note = f"{len(paced):,} submits, {rate:g} a second by {CLIENTS} clients on connections of their own"
    report.add(
        Figure("submit over HTTP, p50, 50 clients", p50, "ms", note=note),
        Figure("submit over HTTP, p95, 50 clients", p95, "ms", bound=5.0, note=f"slowest {max(paced):.1f} ms"),
    )
    crowded = asyncio.run(_submit(api, seconds=seconds / 2, every_s=0))
    p50, p95 = _percentiles(crowded)
    note = "each client's next submit follows its last at once: one process of the API is full, and what waits in line counts"
    report.add(
        Figure("submit over HTTP, p95, 50 under way all the time", p95, "ms", note=note),
        Figure("submits over HTTP, 50 under way all the time", len(crowded) / (seconds / 2), "1/s"),
    )


def measure_races(report: Report, api: Api, *, rounds: int) -> None:
    """Fifty with one Idempotency-Key at the same moment."""
    worst = [asyncio.run(_race(api)) for _ in range(rounds)]
    note = f"{rounds} rounds of {CLIENTS} racing submits with one Idempotency-Key"
    report.add(figure("jobs made of 50 racing submits, most", [max(worst)], "jobs", bound=1, note=note))


def measure_triggers(report: Report, api: Api) -> None:
    """Many triggers while a run of the kind is under way."""
    store = JobStore(redis.Redis.from_url(api.redis_url))
    tenant = f"tenant-{uuid.uuid4().hex[:8]}"
    running = asyncio.run(_trigger(api, tenant, 1)).pop()
    claims = store.claim(limit=1000, caps=Caps(per_tenant=100_000), ttl_s=3600)
    [claim] = [claim for claim in claims if claim.job.id == running]
    store.dispatched(running, claim.attempt)
    store.started(running, claim.attempt)
    followers = asyncio.run(_trigger(api, tenant, _TRIGGERS))
    assert running not in followers, "a trigger joined a run that had started"
    listed = [job for job in store.list(tenant, limit=1000).jobs if job.id != running]
    store.close()
    assert {job.id for job in listed} == followers
    note = f"the follow-up says that {listed[0].joined} joined it"
    report.add(Figure(f"follow-ups of {_TRIGGERS} triggers during a run", len(listed), "jobs", bound=1, note=note))


async def _submit(api: Api, *, seconds: float, every_s: float) -> list[float]:
    """Return each submit's time, in ms."""
    ends_at = time.perf_counter() + seconds
    durations_ms: list[float] = []

    async def client() -> None:
        headers, sent = {}, 0
        async with await api.connect() as connection:
            await asyncio.sleep(random.uniform(0, every_s))
            while time.perf_counter() < ends_at:
                if sent % _MOST_OF_A_TENANT == 0:
                    headers = api.credential(f"tenant-{uuid.uuid4().hex[:8]}")
                started_at = time.perf_counter()
                answer = await connection.post(_PATH, _HELLO, headers)
                took_s = time.perf_counter() - started_at
                assert answer.status == 202, answer.body
                durations_ms.append(took_s * 1000)
                sent += 1
                await asyncio.sleep(max(0.0, every_s - took_s))

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return durations_ms


async def _race(api: Api) -> int:
    tenant = f"tenant-{uuid.uuid4().hex[:8]}"
    headers = {**api.credential(tenant), "Idempotency-Key": uuid.uuid4().hex}
    connections = [await api.connect() for _ in range(CLIENTS)]
    answers = await asyncio.gather(*(connection.post(_PATH, _HELLO, headers) for connection in connections))
    assert {answer.status for answer in answers} == {202}, {answer.status for answer in answers}
    ids = {answer.json()["id"] for answer in answers}
    listed = (await connections[0].get(f"{_PATH}?limit=100", headers)).json()["jobs"]
    await _close(connections)
    assert ids <= {job["id"] for job in listed}
    return len(listed)


async def _trigger(api: Api, tenant: str, times: int) -> set[str]:
    headers = api.credential(tenant)
    connections = [await api.connect() for _ in range(min(times, CLIENTS))]

    async def some(connection: Connection, count: int) -> set[str]:
        return {(await connection.post(_PATH, _REFRESH, headers)).json()["id"] for _ in range(count)}

    id_sets = await asyncio.gather(*(some(connection, times // len(connections)) for connection in connections))
    await _close(connections)
    return set().union(*id_sets)


async def _close(connections: list[Connection]) -> None:
    for connection in connections:
        await connection.__aexit__()


def _percentiles(durations_ms: list[float]) -> tuple[float, float]:
    return statistics.median(durations_ms), statistics.quantiles(durations_ms, n=100)[94]
