"""The sync limiter. core.py decides, transport.py sends; async_limiter.py is the async one."""

from __future__ import annotations

import functools
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import redis

from ratelimit_service.backoff import Backoff
from ratelimit_service.calls import Call, batches, join, ping_call, split
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
from ratelimit_service.transport import OUTAGE, Transport

P = ParamSpec("P")
R = TypeVar("R")


class Limiter:
    """Decide by policy and key. Threads may share one; a forked child opens its own connections.

    No method raises when Redis is unavailable: the decision is `degraded`.

    Args:
        client: any redis-py client (single server, Sentinel, cluster): its settings are used, not its connections.
        policies: the policies; `install` replaces them.
        options: deadlines, caches and the like.
        clock: monotonic seconds, for cached denials, leases and circuit breakers.

    Raises:
        PolicyError: the client is a cluster's, and a policy's keys would span slots.
        UsageError: the client can't be used here: a URL, a client of the other kind, fakeredis.
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
        self._unsent_releases: deque[Call] = deque(maxlen=UNSENT_RELEASES_MAX)
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
        return self._core.compiled_set.source

    def ping(self) -> None:
        """Run the script on Redis, at start-up or for a readiness probe: with a reason instead of degraded decisions.

        On a cluster one node is called.

        Raises:
            RedisUnavailableError: Redis was not reached within the deadline, or the user may not run the script.
        """
        call = ping_call(self._core.compiled_set.source, self._core.options.prefix)
        try:
            self._transport.call(call.keys, call.requests)
        except OUTAGE as error:
            raise RedisUnavailableError(error) from error

    def install(self, policies: PolicySet) -> None:
        """Replace all policies at once.

        Raises:
            PolicyError: they are not usable here; the old ones stay in force.
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
            cost: units; None is the policy's own. 0 is allowed and charges nothing; a cost above the limit's capacity is
                refused with `retry_after_s` None.
            tenant: whose limits to use, where the policy has limits for tenants.

        Raises:
            UsageError: an unknown policy, a missing key part, a negative cost.
        """
        call = self._core.begin_check(policy, key, cost, tenant)
        return call if call.__class__ is Decision else self._decide(call)  # type: ignore[arg-type]

    def _decide(self, call: Call) -> Decision:
        core = self._core
        started_s = core.clock()
        try:
            reply = self._transport.call(call.keys, call.requests)
        except OUTAGE as error:
            decision = core.fail(call, error)
            if may_hold_slot(call, decision, error):
                self._unsent_releases.append(core.begin_hold(call, Op.RELEASE))
            return decision
        except BaseException:
            core.abandon([call])
            if call.slot_id:
                self._number(core.begin_hold(call, Op.RELEASE))
            raise
        core.metrics.redis_latency.observe(core.clock() - started_s)
        if self._unsent_releases:
            self._send_releases()
        return core.finish(call, reply)

    def _number(self, call: Call) -> int:
        try:
            reply = self._transport.call(call.keys, call.requests)
        except BaseException as error:
            if call.op is Op.RELEASE:
                self._unsent_releases.append(call)
            if not isinstance(error, OUTAGE):
                raise
            return self._core.fail_number(call, error)
        return self._core.finish_number(call, reply)

    def _send_releases(self) -> None:
        # One that fails is appended again, for the next answer of Redis.
        for _ in range(len(self._unsent_releases)):
            with suppress(IndexError):  # another thread sends them
                self._number(self._unsent_releases.popleft())

    def check_many(self, requests: Sequence[CheckRequest]) -> list[Decision]:
        """Decide several independent requests in order, in one round trip (on a cluster, one per slot).

        Raises:
            UsageError: as `check`; then none was charged.
        """
        core = self._core
        steps = core.begin_many(requests)
        decisions: dict[int, Decision] = {}
        for batch in batches(
            [call for call in steps if isinstance(call, Call)],
            lambda call: self._transport.group(call.keys),
            core.options.batch,
        ):
            try:
                reply = self._transport.call(*join(batch))
            except OUTAGE as error:
                decisions.update((id(call), core.fail(call, error)) for call in batch)
            else:
                parts = split(batch, reply)
                decisions.update((id(call), core.finish(call, part)) for call, part in zip(batch, parts, strict=True))
        return [call if isinstance(call, Decision) else decisions[id(call)] for call in steps]

    def peek(
        self, policy: str, key: Key | None = None, *, cost: int | None = None, tenant: str | None = None
    ) -> Decision:
        """Decide as `check`, without charging."""
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
        """Refund units, at most those in use; arguments as for `check`.

        A `refund_id` makes the refund idempotent: the same id refunds once.

        Returns:
            The units refunded; 0 also if the id was used before, or Redis is unavailable.
        """
        return self._number(self._core.begin_refund(policy, key, cost, tenant, refund_id))

    def reset(self, policy: str, key: Key | None = None, *, tenant: str | None = None) -> bool:
        """Delete one key's counts. False: Redis is unavailable, and nothing was done."""
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
        """Check until it passes, sleeping as long as each refusal says: for outgoing calls.

        Arguments are as for `check`; `timeout_s` is the longest total wait, None waits forever.

        Returns:
            The decision that passed, or the last refusal.
        """
        backoff = Backoff(timeout_s, self._core.clock)
        while True:
            decision = self.check(policy, key, cost=cost, tenant=tenant)
            pause_s = backoff.pause_s(decision)
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
        """Take a slot in flight and charge the policy's rates, atomically.

        Raises:
            RateLimitedError: none was free within the timeout.
        """
        backoff = Backoff(timeout_s, self._core.clock, is_polling=True)
        while True:
            call = self._core.begin_slot(policy, key, cost, tenant, secrets.token_bytes(SLOT_ID_BYTES))
            decision = self._decide(call)
            if decision.allowed:
                return Slot(call, decision)
            pause_s = backoff.pause_s(decision)
            if pause_s is None:
                raise RateLimitedError(decision)
            time.sleep(pause_s)

    def resume_slot(self, policy: str, slot_id: str, key: Key | None = None, *, tenant: str | None = None) -> SlotLease:
        """Return a slot that another process took, to renew or release it here.

        Pass the slot's `id`, and the policy, key and tenant that it was taken with.

        Raises:
            UsageError: the policy has no limit in flight, or the id is invalid.
        """
        return SlotLease(self._core.begin_slot(policy, key, None, tenant, read_slot_id(slot_id)))

    def renew_slot(self, slot: SlotLease) -> bool:
        """Renew a slot for another lease. False: it is lost, or Redis is unavailable (then `is_lost` is unchanged)."""
        result = self._number(self._core.begin_hold(slot.call, Op.RENEW))
        slot.is_lost = slot.is_lost or result < 0
        return result > 0

    def release_slot(self, slot: SlotLease) -> None:
        """Release a slot; if Redis is unavailable, it returns when its lease ends."""
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
        slot = self.take_slot(policy, key, cost=cost, tenant=tenant, timeout_s=timeout_s)
        try:
            yield slot
        finally:
            self.release_slot(slot)

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
        """Return a decorator that checks before each call of a function.

        Args:
            policy: the policy's name.
            key: maps the function's arguments to the key.
            cost: as for `check`.
            timeout_s: how long a call may wait.

        Raises:
            RateLimitedError: the decorated function was refused and did not run.
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            @functools.wraps(function)
            def limited(*args: P.args, **kwargs: P.kwargs) -> R:
                with self.admit(policy, key(*args, **kwargs) if key else None, cost=cost, timeout_s=timeout_s):
                    return function(*args, **kwargs)

            return limited

        return decorate

    def close(self) -> None:
        """Refund leased units, send the releases that Redis did not answer, and close the connections."""
        self._send_releases()
        for call in self._core.refund_leases():
            self._number(call)
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
