"""The async limiter. core.py decides, async_transport.py sends; limiter.py is the sync one."""

from __future__ import annotations

import asyncio
import functools
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import redis.asyncio

from ratelimit_service.async_transport import AsyncTransport
from ratelimit_service.backoff import Backoff
from ratelimit_service.calls import Call, ping_call
from ratelimit_service.core import Core
from ratelimit_service.decision import CheckRequest, Decision
from ratelimit_service.errors import RateLimitedError, RedisUnavailableError
from ratelimit_service.keys import Key
from ratelimit_service.metrics import Metrics
from ratelimit_service.options import Options
from ratelimit_service.policy import PolicySet
from ratelimit_service.script import SLOT_ID_BYTES, Op
from ratelimit_service.slots import (
    UNSENT_RELEASES_MAX,
    Slot,
    SlotLease,
    may_hold_slot,
    read_slot_id,
)
from ratelimit_service.transport import OUTAGE

P = ParamSpec("P")
R = TypeVar("R")


class AsyncLimiter:
    """Decide by policy and key; checks that arrive together go to Redis as one script call.

    Any number of event loops may share one, at once too; a loop's connections are its own, and are closed as it ends.
    No method raises when Redis is unavailable: the decision is `degraded`.

    Args:
        client: any redis-py asyncio client (single server, Sentinel, cluster): its settings are used, not its connections.
        policies: the policies; `install` replaces them.
        options: deadlines, caches and the like.
        clock: monotonic seconds, for cached denials, leases and circuit breakers.

    Raises:
        PolicyError: the client is a cluster's, and a policy's keys would span slots.
        UsageError: the client can't be used here: a URL, a client of the other kind, fakeredis.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis | redis.asyncio.RedisCluster,
        policies: PolicySet,
        options: Options | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        options = options or Options()
        self._transport = AsyncTransport(client, options, clock)
        self._core = Core(
            policies,
            options,
            is_cluster=self._transport.is_cluster,
            open_circuits=self._transport.open_circuits,
            clock=clock,
        )
        self._unsent_releases: deque[Call] = deque(maxlen=UNSENT_RELEASES_MAX)
        # Tries whose callers were cancelled, until their slots are released.
        self._ownerless: set[asyncio.Future[bytes]] = set()
        self._transport.observe = self._on_answer

    @property
    def metrics(self) -> Metrics:
        """A collector for prometheus_client: `REGISTRY.register(limiter.metrics)`."""
        return self._core.metrics

    @property
    def policies(self) -> PolicySet:
        """The policies in force."""
        return self._core.compiled_set.source

    async def ping(self) -> None:
        """Run the script on Redis, at start-up or for a readiness probe: with a reason instead of degraded decisions.

        On a cluster one node is called.

        Raises:
            RedisUnavailableError: Redis was not reached within the deadline, or the user may not run the script.
        """
        call = ping_call(self._core.compiled_set.source, self._core.options.prefix)
        try:
            await self._transport.submit(call)
        except OUTAGE as error:
            raise RedisUnavailableError(error) from error

    def install(self, policies: PolicySet) -> None:
        """Replace all policies at once, from any thread; see `Limiter.install`."""
        self._transport.submit_later(self._core.install(policies))

    async def check(
        self, policy: str, key: Key | None = None, *, cost: int | None = None, tenant: str | None = None
    ) -> Decision:
        """Decide, and charge if allowed; see `Limiter.check`."""
        call = self._core.begin_check(policy, key, cost, tenant)
        if isinstance(call, Decision):
            return call
        # Inlined `_decide`, to save a coroutine per check.
        try:
            return self._core.finish(call, await self._transport.submit(call))
        except OUTAGE as error:
            return self._core.fail(call, error)
        except BaseException:
            self._core.abandon([call])
            raise

    async def _decide(self, call: Call) -> Decision:
        try:
            return self._core.finish(call, await self._transport.submit(call))
        except OUTAGE as error:
            return self._core.fail(call, error)
        except BaseException:
            self._core.abandon([call])
            raise

    async def _take(self, call: Call) -> Decision:
        future = self._submit(call)
        try:
            # Not awaited itself, since then a caller who is cancelled would cancel it.
            await asyncio.wait([future])
            return self._core.finish(call, future.result())
        except OUTAGE as error:
            decision = self._core.fail(call, error)
            if may_hold_slot(call, decision, error):
                self._unsent_releases.append(self._core.begin_hold(call, Op.RELEASE))
            return decision
        except BaseException:
            self._ownerless.add(future)
            future.add_done_callback(functools.partial(self._release_ownerless, call))
            raise

    def _release_ownerless(self, call: Call, future: asyncio.Future[bytes]) -> None:
        self._ownerless.discard(future)
        self._unsent_releases.append(self._core.begin_hold(call, Op.RELEASE))
        if not future.exception():
            self._send_releases()

    def _on_answer(self, duration_s: float) -> None:
        self._core.metrics.redis_latency.observe(duration_s)
        if self._unsent_releases:
            self._send_releases()

    def _send_releases(self) -> None:
        for _ in range(len(self._unsent_releases)):
            with suppress(IndexError):  # another thread's loop sends them
                call = self._unsent_releases.popleft()
                self._submit(call).add_done_callback(functools.partial(self._on_release, call))

    def _on_release(self, call: Call, future: asyncio.Future[bytes]) -> None:
        if future.cancelled() or future.exception():
            self._unsent_releases.append(call)

    async def _number(self, call: Call) -> int:
        try:
            return self._core.finish_number(call, await self._transport.submit(call))
        except OUTAGE as error:
            if call.op is Op.RELEASE:
                self._unsent_releases.append(call)
            return self._core.fail_number(call, error)

    async def check_many(self, requests: Sequence[CheckRequest]) -> list[Decision]:
        """Decide several independent requests in one round trip; see `Limiter.check_many`."""
        steps = self._core.begin_many(requests)
        # All are submitted before the first is awaited, so that they go in one batch.
        replies = {id(call): self._submit(call) for call in steps if isinstance(call, Call)}
        decisions = []
        for call in steps:
            if isinstance(call, Decision):
                decisions.append(call)
                continue
            try:
                decisions.append(self._core.finish(call, await replies[id(call)]))
            except OUTAGE as error:
                decisions.append(self._core.fail(call, error))
            except BaseException:
                self._core.abandon(steps)
                raise
        return decisions

    def _submit(self, call: Call) -> asyncio.Future[bytes]:
        # An open circuit is raised when the future is awaited: of several calls the others are sent.
        try:
            return self._transport.submit(call)
        except OUTAGE as error:
            future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            future.set_exception(error)
            return future

    async def peek(
        self, policy: str, key: Key | None = None, *, cost: int | None = None, tenant: str | None = None
    ) -> Decision:
        """Decide as `check`, without charging."""
        return await self._decide(self._core.begin_peek(policy, key, cost, tenant))

    async def refund(
        self,
        policy: str,
        key: Key | None = None,
        *,
        cost: int | None = None,
        tenant: str | None = None,
        refund_id: str | None = None,
    ) -> int:
        """Refund units, at most those in use; see `Limiter.refund`."""
        return await self._number(self._core.begin_refund(policy, key, cost, tenant, refund_id))

    async def reset(self, policy: str, key: Key | None = None, *, tenant: str | None = None) -> bool:
        """Delete one key's counts. False: Redis is unavailable, and nothing was done."""
        return await self._number(self._core.begin_reset(policy, key, tenant)) > 0

    async def acquire(
        self,
        policy: str,
        key: Key | None = None,
        *,
        cost: int | None = None,
        tenant: str | None = None,
        timeout_s: float | None = None,
    ) -> Decision:
        """Check until it passes, for outgoing calls; see `Limiter.acquire`."""
        backoff = Backoff(timeout_s, self._core.clock)
        while True:
            decision = await self.check(policy, key, cost=cost, tenant=tenant)
            pause_s = backoff.pause_s(decision)
            if pause_s is None:
                return decision
            await asyncio.sleep(pause_s)

    async def take_slot(
        self,
        policy: str,
        key: Key | None = None,
        *,
        cost: int | None = None,
        tenant: str | None = None,
        timeout_s: float | None = 0.0,
    ) -> Slot:
        """Take a slot in flight and charge the policy's rates, atomically; see `Limiter.take_slot`."""
        backoff = Backoff(timeout_s, self._core.clock, is_polling=True)
        while True:
            call = self._core.begin_slot(policy, key, cost, tenant, secrets.token_bytes(SLOT_ID_BYTES))
            decision = await self._take(call)
            if decision.allowed:
                return Slot(call, decision)
            pause_s = backoff.pause_s(decision)
            if pause_s is None:
                raise RateLimitedError(decision)
            await asyncio.sleep(pause_s)

    def resume_slot(self, policy: str, slot_id: str, key: Key | None = None, *, tenant: str | None = None) -> SlotLease:
        """Return a slot that another process took, to renew or release it here; see `Limiter.resume_slot`."""
        return SlotLease(self._core.begin_slot(policy, key, None, tenant, read_slot_id(slot_id)))

    async def renew_slot(self, slot: SlotLease) -> bool:
        """Renew a slot for another lease. False: it is lost, or Redis is unavailable (then `is_lost` is unchanged)."""
        result = await self._number(self._core.begin_hold(slot.call, Op.RENEW))
        slot.is_lost = slot.is_lost or result < 0
        return result > 0

    async def release_slot(self, slot: SlotLease) -> None:
        """Release a slot; if Redis is unavailable, it returns when its lease ends."""
        if not slot.is_released:
            slot.is_released = True
            await self._number(self._core.begin_hold(slot.call, Op.RELEASE))

    @asynccontextmanager
    async def slot(
        self,
        policy: str,
        key: Key | None = None,
        *,
        cost: int | None = None,
        tenant: str | None = None,
        timeout_s: float | None = 0.0,
    ) -> AsyncIterator[Slot]:
        """Hold a slot for a block of code; see `Limiter.slot`."""
        slot = await self.take_slot(policy, key, cost=cost, tenant=tenant, timeout_s=timeout_s)
        try:
            yield slot
        finally:
            await self.release_slot(slot)

    @asynccontextmanager
    async def admit(
        self,
        policy: str,
        key: Key | None = None,
        *,
        cost: int | None = None,
        tenant: str | None = None,
        timeout_s: float | None = 0.0,
    ) -> AsyncIterator[Decision]:
        """Run a block of code only if a check passes within the timeout; see `Limiter.admit`."""
        decision = await self.acquire(policy, key, cost=cost, tenant=tenant, timeout_s=timeout_s)
        if not decision.allowed:
            raise RateLimitedError(decision)
        yield decision

    def limited(
        self,
        policy: str,
        key: Callable[..., Key | None] | None = None,
        *,
        cost: int | None = None,
        timeout_s: float | None = 0.0,
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """Return a decorator that checks before each call of a function; see `Limiter.limited`."""

        def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            @functools.wraps(function)
            async def limited(*args: P.args, **kwargs: P.kwargs) -> R:
                async with self.admit(policy, key(*args, **kwargs) if key else None, cost=cost, timeout_s=timeout_s):
                    return await function(*args, **kwargs)

            return limited

        return decorate

    async def aclose(self) -> None:
        """Refund leased units, send the releases that Redis did not answer, and close the connections."""
        if self._ownerless:
            await asyncio.wait(tuple(self._ownerless))
        self._send_releases()
        for call in self._core.refund_leases():
            await self._number(call)
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
