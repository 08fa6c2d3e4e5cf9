"""The async limiter: what it awaits. What it decides is in core.py, shared with the sync one."""

from __future__ import annotations

import asyncio
import functools
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import redis.asyncio

from ratelimit_service.async_transport import AsyncTransport
from ratelimit_service.core import Call, Core
from ratelimit_service.decision import Decision
from ratelimit_service.errors import RateLimitedError
from ratelimit_service.keys import Key
from ratelimit_service.metrics import Metrics
from ratelimit_service.options import Options
from ratelimit_service.policy import PolicySet
from ratelimit_service.requests import CheckRequest
from ratelimit_service.script import Op
from ratelimit_service.slots import SLOT_ID_BYTES, Slot, SlotLease, read_slot_id
from ratelimit_service.transport import OUTAGE
from ratelimit_service.waiting import Waiter

P = ParamSpec("P")
R = TypeVar("R")


class AsyncLimiter:
    """Decides by policy and key; checks that arrive together go to Redis as one script call. One event loop at a time.

    No method lets an outage of Redis out as an exception: the decision says `degraded`.

    Args:
        client: any redis-py asyncio client (single server, Sentinel, cluster): its settings are used, not its connections.
        policies: what it decides by; `install` replaces them.
        options: deadlines, caches and the like.
        clock: monotonic seconds, for remembered denials, leases and the circuit breaker.

    Raises:
        PolicyError: a policy's keys would span the client's cluster's slots.
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
        self._transport.observe = self._core.metrics.redis_latency.observe

    @property
    def metrics(self) -> Metrics:
        """A collector for prometheus_client: `REGISTRY.register(limiter.metrics)`."""
        return self._core.metrics

    @property
    def policies(self) -> PolicySet:
        """The policies in force."""
        return self._core.book.policies

    def install(self, policies: PolicySet) -> None:
        """Replace all policies at once. May be called from any thread.

        Raises:
            PolicyError: they can't serve here; the old ones stay in force.
        """
        self._transport.submit_later(self._core.install(policies))

    async def check(
        self, policy: str, key: Key | None = None, *, cost: int | None = None, tenant: str | None = None
    ) -> Decision:
        """Decide, and charge if allowed.

        Args:
            policy: the policy's name.
            key: the value to count by, or a mapping of the policy's key parts.
            cost: units; None is the policy's own. 0 is allowed and charges nothing; more than the limit can hold is
                refused with `retry_after_s` None.
            tenant: whose limits to use, where the policy has some for it.

        Raises:
            UsageError: an unknown policy, a missing key part, a negative cost.
        """
        call = self._core.begin_check(policy, key, cost, tenant)
        if isinstance(call, Decision):
            return call
        # As `_decide`, which would be one more coroutine for every check.
        try:
            return self._core.finish(call, await self._transport.submit(call))
        except OUTAGE as error:
            return self._core.fail(call, error)
        except BaseException:
            self._core.abandon(call)
            raise

    async def _decide(self, call: Call) -> Decision:
        try:
            return self._core.finish(call, await self._transport.submit(call))
        except OUTAGE as error:
            return self._core.fail(call, error)
        except BaseException:
            self._core.abandon(call)
            raise

    async def _number(self, call: Call) -> int:
        try:
            return self._core.finish_number(call, await self._transport.submit(call))
        except OUTAGE as error:
            return self._core.fail_number(call, error)

    async def check_many(self, requests: Sequence[CheckRequest]) -> list[Decision]:
        """Decide several independent requests in order, in one round trip (on a cluster, one per slot).

        Raises:
            UsageError: as `check`; then none was charged.
        """
        begun = self._core.begin_many(requests)
        # Submitted before the first is awaited, so they are in the same batch.
        sent = {id(call): self._submit(call) for call in begun if isinstance(call, Call)}
        decisions = []
        for call in begun:
            if isinstance(call, Decision):
                decisions.append(call)
                continue
            try:
                decisions.append(self._core.finish(call, await sent[id(call)]))
            except OUTAGE as error:
                decisions.append(self._core.fail(call, error))
            except BaseException:
                for other in begun:
                    if isinstance(other, Call):
                        self._core.abandon(other)
                raise
        return decisions

    def _submit(self, call: Call) -> asyncio.Future[bytes]:
        # For one of many: a refusal to send it comes when it is awaited, so that it does not cut off the others.
        try:
            return self._transport.submit(call)
        except OUTAGE as error:
            future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            future.set_exception(error)
            return future

    async def peek(
        self, policy: str, key: Key | None = None, *, cost: int | None = None, tenant: str | None = None
    ) -> Decision:
        """What `check` would say, without charging."""
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
        """Give units back, at most what is in use.

        Args:
            policy: as for `check`.
            key: as for `check`.
            cost: units to give back.
            tenant: as for `check`.
            refund_id: the same id gives back once, however often it is sent.

        Returns:
            The units given back; 0 also when the id was seen before, or Redis is away.
        """
        return await self._number(self._core.begin_refund(policy, key, cost, tenant, refund_id))

    async def reset(self, policy: str, key: Key | None = None, *, tenant: str | None = None) -> bool:
        """Forget one key's counts. False: Redis is away, and nothing was done."""
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
        """Wait until a check passes, sleeping as long as each refusal says: for calls that go out.

        Args:
            policy: as for `check`.
            key: as for `check`.
            cost: as for `check`.
            tenant: as for `check`.
            timeout_s: give up when the next try would be later than this; None waits for ever.

        Returns:
            The decision that passed, or the last refusal.
        """
        waiter = Waiter(timeout_s, self._core.clock)
        while True:
            decision = await self.check(policy, key, cost=cost, tenant=tenant)
            pause_s = waiter.pause_s(decision)
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
        """Take a slot in flight, and charge the policy's rates with it, in one step.

        Raises:
            RateLimitedError: none was free within the timeout.
        """
        waiter = Waiter(timeout_s, self._core.clock, is_polling=True)
        while True:
            call = self._core.begin_slot(policy, key, cost, tenant, secrets.token_bytes(SLOT_ID_BYTES))
            decision = await self._decide(call)
            if decision.allowed:
                return Slot(call, decision)
            pause_s = waiter.pause_s(decision)
            if pause_s is None:
                raise RateLimitedError(decision)
            await asyncio.sleep(pause_s)

    def resume_slot(self, policy: str, slot_id: str, key: Key | None = None, *, tenant: str | None = None) -> SlotLease:
        """A slot that another process took, by its id, to renew or release it here.

        Args:
            policy: as it was taken.
            slot_id: the slot's `id`.
            key: as it was taken.
            tenant: as it was taken.

        Raises:
            UsageError: the policy has no limit in flight, or this is no slot's id.
        """
        return SlotLease(self._core.begin_slot(policy, key, None, tenant, read_slot_id(slot_id)))

    async def renew_slot(self, slot: SlotLease) -> bool:
        """Hold a slot for another lease. False: it is lost, or Redis is away (then `is_lost` stays as it was)."""
        held = await self._number(self._core.begin_hold(slot.call, Op.RENEW))
        slot.is_lost = slot.is_lost or held < 0
        return held > 0

    async def release_slot(self, slot: SlotLease) -> None:
        """Give a slot back; if Redis is away it comes back by itself when its lease ends."""
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
        """Hold a slot for a block of code.

        Raises:
            RateLimitedError: none was free within the timeout.
        """
        held = await self.take_slot(policy, key, cost=cost, tenant=tenant, timeout_s=timeout_s)
        try:
            yield held
        finally:
            await self.release_slot(held)

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
        """Run a block of code only if a check passes within the timeout.

        Raises:
            RateLimitedError: it did not.
        """
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
        """A decorator: each call of the function is checked first.

        Args:
            policy: the policy's name.
            key: from the function's arguments to the key.
            cost: as for `check`.
            timeout_s: how long a call may wait for its turn.

        Raises:
            RateLimitedError: from the decorated function, instead of running it.
        """

        def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            @functools.wraps(function)
            async def checked(*args: P.args, **kwargs: P.kwargs) -> R:
                async with self.admit(policy, key(*args, **kwargs) if key else None, cost=cost, timeout_s=timeout_s):
                    return await function(*args, **kwargs)

            return checked

        return decorate

    async def aclose(self) -> None:
        """Give leased units back and close the connections."""
        for call in self._core.give_back():
            await self._number(call)
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
