"""A slot always has an owner: a taker that is cancelled, interrupted or left without an answer does not keep it."""

import asyncio
import signal

import pytest
import redis
import redis.asyncio

from ratelimit_service import AsyncLimiter, Limiter, Options, Policy, PolicySet, RateLimitedError
from ratelimit_service.async_transport import _LoopTransport
from ratelimit_service.transport import Transport
from tests.ratelimit_service.conftest import PATIENT
from tests.servers import redis_servers

POLICIES = PolicySet([Policy.parse("s", "2 in flight lease 1h", on_outage="closed"), Policy.parse("open", "9/day")])
# The clock stands still, so nothing is probed; the deadline has room for a machine that runs other tests.
ROOMY = Options(deadline_s=1.0, breaker_open_s=1.0, breaker_threshold=100)


def is_free(server: redis_servers.Server) -> bool:
    with Limiter(redis.Redis(port=server.port), POLICIES, PATIENT) as limiter:
        return limiter.peek("s", "k").remaining == 2


@pytest.mark.parametrize("steps", range(12))
async def test_a_taker_cancelled_at_any_step_leaves_no_slot(server, steps):
    async with AsyncLimiter(redis.asyncio.Redis(port=server.port), POLICIES, PATIENT) as limiter:
        await limiter.check("open", "k")
        takers = [asyncio.create_task(limiter.take_slot("s", "k", timeout_s=None)) for _ in range(4)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for taker in takers:
            taker.cancel()
        for outcome in await asyncio.gather(*takers, return_exceptions=True):
            if not isinstance(outcome, BaseException):
                await limiter.release_slot(outcome)
    assert is_free(server)


async def test_a_taker_cancelled_while_redis_is_stopped_leaves_no_slot(own_server):
    async with AsyncLimiter(redis.asyncio.Redis(port=own_server.port), POLICIES, PATIENT) as limiter:
        await limiter.check("open", "k")
        own_server.signal(signal.SIGSTOP)
        taker = asyncio.create_task(limiter.take_slot("s", "k"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(taker, 0.1)
        own_server.signal(signal.SIGCONT)
    assert is_free(own_server)


async def test_a_taker_without_an_answer_leaves_no_slot(own_server):
    """Redis runs what it received while it was stopped, after the deadline."""
    client = redis.asyncio.Redis(port=own_server.port)
    async with AsyncLimiter(client, POLICIES, ROOMY) as asynchronous:
        with Limiter(redis.Redis(port=own_server.port), POLICIES, ROOMY) as limiter:
            await asynchronous.check("open", "k")
            limiter.check("open", "k")
            own_server.signal(signal.SIGSTOP)
            with pytest.raises(RateLimitedError):
                limiter.take_slot("s", "k")
            with pytest.raises(RateLimitedError):
                await asynchronous.take_slot("s", "k")
            own_server.signal(signal.SIGCONT)
            redis_servers.until(lambda: limiter.check("open", "k").degraded is False)
            while (await asynchronous.check("open", "k")).degraded:
                pass
    assert is_free(own_server)


async def test_a_release_that_does_not_reach_redis_is_sent_again(server, monkeypatch):
    async with AsyncLimiter(redis.asyncio.Redis(port=server.port), POLICIES, PATIENT) as asynchronous:
        with Limiter(redis.Redis(port=server.port), POLICIES, PATIENT) as limiter:
            slots = limiter.take_slot("s", "k"), await asynchronous.take_slot("s", "k")

            def lost(*_) -> bytes:
                raise ConnectionResetError

            with monkeypatch.context() as patch:
                patch.setattr(Transport, "_send", lost)
                patch.setattr(_LoopTransport, "_send", lost)
                limiter.release_slot(slots[0])
                await asynchronous.release_slot(slots[1])
            assert limiter.peek("s", "k").remaining == 0
            assert limiter.peek("s", "k").remaining == 1, "after an answer the first is released"
            await asynchronous.check("open", "k")
            while (await asynchronous.peek("s", "k")).remaining != 2:
                pass


def test_an_interrupted_taker_leaves_no_slot(server, monkeypatch):
    call, interrupts = Transport.call, [KeyboardInterrupt]

    def interrupted(self: Transport, *arguments) -> bytes:
        reply = call(self, *arguments)
        while interrupts:
            raise interrupts.pop()
        return reply

    monkeypatch.setattr(Transport, "call", interrupted)
    with Limiter(redis.Redis(port=server.port), POLICIES, PATIENT) as limiter:
        with pytest.raises(KeyboardInterrupt):
            limiter.take_slot("s", "k")
        assert limiter.peek("s", "k").remaining == 2
