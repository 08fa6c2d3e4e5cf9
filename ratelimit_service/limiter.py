"""The sync limiter: what it sends and waits for. What it decides is in core.py, shared with the async one."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import redis

from ratelimit_service.batching import groups, join, split
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
from ratelimit_service.transport import OUTAGE, Transport
from ratelimit_service.waiting import Waiter

P = ParamSpec("P")
R = TypeVar("R")


class Limiter:
    """Decides by policy and key. Threads may share one; a fork gets connections of its own.

    No method lets an outage of Redis out as an exception: the decision says `degraded`.

    Args:
        client: any redis-py client (single server, Sentinel, cluster): its settings are used, not its connections.
        policies: what it decides by; `install` replaces them.
        options: deadlines, caches and the like.
        clock: monotonic seconds, for remembered denials, leases and the circuit breaker.

    Raises:
        PolicyError: a policy's keys would span the client's cluster's slots.
    """

    def __init__(
        self,
        client: redis.Redis | redis.RedisCluster,
        policies: PolicySet,
        options: Options | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        options = options or Options()
        self._transport = Transport(client, options, clock)
        self._core = Core(
            policies,
            options,
            is_cluster=self._transport.is_cluster,
            open_circuits=self._transport.open_circuits,
            clock=clock,
        )

    @property
    def metrics(self) -> Metrics:
        """A collector for prometheus_client: `REGISTRY.register(limiter.metrics)`."""
        return self._core.metrics

    @property
    def policies(self) -> PolicySet:
        """The policies in force."""
        return self._core.book.policies

    def install(self, policies: PolicySet) -> None:
        """Replace all policies at once.

        Raises:
            PolicyError: they can't serve here; the old ones stay in force.
        """
        for call in self._core.install(policies):
            self._number(call)

    def check(
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
        return call if call.__class__ is Decision else self._decide(call)  # type: ignore[arg-type]

    def _decide(self, call: Call) -> Decision:
        core = self._core
        began_s = core.clock()
        try:
            reply = self._transport.call(call.keys, call.requests)
        except OUTAGE as error:
            return core.fail(call, error)
        except BaseException:
            core.abandon(call)
            raise
        core.metrics.redis_latency.observe(core.clock() - began_s)
        return core.finish(call, reply)

    def _number(self, call: Call) -> int:
        try:
            reply = self._transport.call(call.keys, call.requests)
        except OUTAGE as error:
            return self._core.fail_number(call, error)
        return self._core.finish_number(call, reply)

    def check_many(self, requests: Sequence[CheckRequest]) -> list[Decision]:
        """Decide several independent requests in order, in one round trip (on a cluster, one per slot).

        Raises:
            UsageError: as `check`; then none was charged.
        """
        core = self._core
        begun = core.begin_many(requests)
        answers: dict[int, Decision] = {}
        for together in groups(
            [call for call in begun if isinstance(call, Call)],
            lambda call: self._transport.group(call.keys),
            core.options.batch,
        ):
            try:
                reply = self._transport.call(*join(together))
            except OUTAGE as error:
                answers.update((id(call), core.fail(call, error)) for call in together)
            else:
                parts = split(together, reply)
                answers.update((id(call), core.finish(call, part)) for call, part in zip(together, parts, strict=True))
        return [call if isinstance(call, Decision) else answers[id(call)] for call in begun]

    def peek(
        self, policy: str, key: Key | None = None, *, cost: int | None = None, tenant: str | None = None
    ) -> Decision:
        """What `check` would say, without charging."""
        return self._decide(self._core.begin_peek(policy, key, cost, tenant))

    def refund(
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
        return self._number(self._core.begin_refund(policy, key, cost, tenant, refund_id))

    def reset(self, policy: str, key: Key | None = None, *, tenant: str | None = None) -> bool:
        """Forget one key's counts. False: Redis is away, and nothing was done."""
        return self._number(self._core.begin_reset(policy, key, tenant)) > 0

    def acquire(
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
            decision = self.check(policy, key, cost=cost, tenant=tenant)
            pause_s = waiter.pause_s(decision)
            if pause_s is None:
                return decision
            time.sleep(pause_s)

    def take_slot(
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
            decision = self._decide(call)
            if decision.allowed:
                return Slot(call, decision)
            pause_s = waiter.pause_s(decision)
            if pause_s is None:
                raise RateLimitedError(decision)
            time.sleep(pause_s)

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

    def renew_slot(self, slot: SlotLease) -> bool:
        """Hold a slot for another lease. False: it is lost, or Redis is away (then `is_lost` stays as it was)."""
        held = self._number(self._core.begin_hold(slot.call, Op.RENEW))
        slot.is_lost = slot.is_lost or held < 0
        return held > 0

    def release_slot(self, slot: SlotLease) -> None:
        """Give a slot back; if Redis is away it comes back by itself when its lease ends."""
        if not slot.is_released:
            slot.is_released = True
            self._number(self._core.begin_hold(slot.call, Op.RELEASE))

    @contextmanager
    def slot(
        self,
        policy: str,
        key: Key | None = None,
        *,
        cost: int | None = None,
        tenant: str | None = None,
        timeout_s: float | None = 0.0,
    ) -> Iterator[Slot]:
        """Hold a slot for a block of code.

        Raises:
            RateLimitedError: none was free within the timeout.
        """
        held = self.take_slot(policy, key, cost=cost, tenant=tenant, timeout_s=timeout_s)
        try:
            yield held
        finally:
            self.release_slot(held)

    @contextmanager
    def admit(
        self,
        policy: str,
        key: Key | None = None,
        *,
        cost: int | None = None,
        tenant: str | None = None,
        timeout_s: float | None = 0.0,
    ) -> Iterator[Decision]:
        """Run a block of code only if a check passes within the timeout.

        Raises:
            RateLimitedError: it did not.
        """
        decision = self.acquire(policy, key, cost=cost, tenant=tenant, timeout_s=timeout_s)
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
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """A decorator: each call of the function is checked first.

        Args:
            policy: the policy's name.
            key: from the function's arguments to the key.
            cost: as for `check`.
            timeout_s: how long a call may wait for its turn.

        Raises:
            RateLimitedError: from the decorated function, instead of running it.
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            @functools.wraps(function)
            def checked(*args: P.args, **kwargs: P.kwargs) -> R:
                with self.admit(policy, key(*args, **kwargs) if key else None, cost=cost, timeout_s=timeout_s):
                    return function(*args, **kwargs)

            return checked

        return decorate

    def close(self) -> None:
        """Give leased units back and close the connections."""
        for call in self._core.give_back():
            self._number(call)
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
