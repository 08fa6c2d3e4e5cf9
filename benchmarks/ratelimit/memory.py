"""Measure Redis memory per key over a million keys, each written by a check."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable

import redis
import redis.asyncio

from benchmarks.ratelimit.policies import PATIENT, POLICIES
from benchmarks.report import Report, figure
from ratelimit_service import AsyncLimiter, CheckRequest

_TOGETHER = 2_000
_BOUND_BYTES = 140
_NOTE = "keys are IPv4 addresses"
_PAUSE_S = 0.2
_SAME = 5


def measure_memory(report: Report, port: int, keys: int) -> None:
    """Bytes per key of each algorithm whose state is bounded."""
    asyncio.run(_measure(report, port, keys))


async def _measure(report: Report, port: int, keys: int) -> None:
    client = redis.asyncio.Redis(port=port)
    async with client, AsyncLimiter(client, POLICIES, PATIENT) as limiter:

        async def check(policy: str, names: list[str]) -> None:
            await limiter.check_many([CheckRequest(policy, name) for name in names])

        async def hold(policy: str, names: list[str]) -> None:
            await asyncio.gather(*(limiter.take_slot(policy, name) for name in names))

        for policy, what, fill, count in (
            ("kept", "GCRA", check, keys),
            ("sliding", "sliding window", check, keys),
            ("fixed", "fixed window", check, keys),
            # Slots are taken one call each, which takes minutes for a million.
            ("slots", "in flight, one slot held", hold, keys // 8),
        ):
            bytes_per_key = await _per_key(client, policy, fill, count)
            name = f"state of one key, {what} ({count:,} keys)"
            report.add(figure(name, [bytes_per_key], "bytes", bound=_BOUND_BYTES, note=_NOTE))
    with redis.Redis(port=port) as last:
        last.flushall()


async def _per_key(
    client: redis.asyncio.Redis, policy: str, fill: Callable[[str, list[str]], Awaitable[None]], keys: int
) -> float:
    await client.flushall()
    await fill(policy, [f"warm-{number}" for number in range(_TOGETHER)])
    await client.flushall()
    before = await _settled(client)
    first = int(ipaddress.IPv4Address("100.64.0.0"))
    for start in range(0, keys, _TOGETHER):
        await fill(
            policy, [str(ipaddress.IPv4Address(first + at)) for at in range(start, min(start + _TOGETHER, keys))]
        )
    assert await client.dbsize() == keys
    return (await _settled(client) - before) / keys


async def _settled(client: redis.asyncio.Redis) -> int:
    """Bytes in use once Redis has let go of what it frees bit by bit: smaller tables, clients' buffers."""
    seen: list[int] = []
    while len(seen) < _SAME or len(set(seen[-_SAME:])) > 1:
        await asyncio.sleep(_PAUSE_S)
        seen.append((await client.info("memory"))["used_memory"])
    return seen[-1]
