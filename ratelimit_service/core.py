"""All of the limiter but the waiting: what to ask Redis, what its reply means, and what to answer without it.

The sync and async limiters are thin shells around this: `begin` gives either a decision or a `Call`; the shell sends
the call; `finish` or `fail` makes the decision.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Mapping, Sequence

from ratelimit_service.decision import Decision
from ratelimit_service.denial_cache import Denial
from ratelimit_service.errors import UsageError
from ratelimit_service.keys import Key
from ratelimit_service.lease import Lease
from ratelimit_service.limits import Algorithm
from ratelimit_service.local import LocalLimiter
from ratelimit_service.metrics import Metrics
from ratelimit_service.options import Options
from ratelimit_service.plan import Plan, Rulebook, check_cost
from ratelimit_service.policy import OnOutage, PolicySet
from ratelimit_service.requests import CheckRequest
from ratelimit_service.script import NUMBER, Op, pack_request

log = logging.getLogger(__name__)

_LOG_EVERY_S = 10.0


class Call:
    """One step on its way to Redis: usually one request, two where a spent lease's rest is given back on the way.

    Attributes:
        keys: the script's KEYS.
        requests: its ARGV.
        size: bytes of its part of the reply.
        skip: bytes at the reply's start that answer something else.
    """

    __slots__ = ("book", "cache_key", "cost", "keys", "op", "plan", "requests", "size", "skip", "slot_id")

    def __init__(
        self,
        book: Rulebook,
        plan: Plan,
        keys: list[bytes],
        request: bytes,
        cost: int,
        op: Op,
        cache_key: Hashable = None,
        slot_id: bytes = b"",
    ) -> None:
        self.book = book
        self.plan = plan
        self.keys = keys
        self.requests: tuple[bytes, ...] = (request,)
        self.cost = cost
        self.op = op
        self.size = plan.reply.size if op <= Op.TAKE else NUMBER.size
        self.skip = 0
        self.cache_key = cache_key
        self.slot_id = slot_id


class Core:
    """Shared state and logic of one limiter.

    Args:
        policies: the first policy set.
        options: how it behaves.
        is_cluster: refuse policies whose keys span slots.
        open_circuits: for the metrics.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        policies: PolicySet,
        options: Options,
        *,
        is_cluster: bool,
        open_circuits: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options = options
        self.clock = clock
        self.metrics = Metrics(open_circuits)
        self._is_cluster = is_cluster
        self._local = LocalLimiter(options.instances)
        self._logged_s = -_LOG_EVERY_S
        self.book = self._make_book(policies)

    def _make_book(self, policies: PolicySet) -> Rulebook:
        return Rulebook(
            policies,
            prefix=self.options.prefix,
            metrics=self.metrics,
            denials=self.options.denials,
            is_cluster=self._is_cluster,
        )

    def install(self, policies: PolicySet) -> list[Call]:
        """Replace all policies at once; a check sees either all old or all new ones.

        Returns:
            Calls that give the old set's leases back.

        Raises:
            PolicyError: the set can't serve; the old one stays in force.
        """
        old, self.book = self.book, self._make_book(policies)
        return self.give_back(old)

    def give_back(self, book: Rulebook | None = None) -> list[Call]:
        """Calls that return the unspent units of every lease, now and not when they would run out."""
        book = book or self.book
        return [
            Call(book, lease.plan, lease.keys, _refund_request(lease.plan, lease.units), lease.units, Op.REFUND)
            for lease in book.leases.empty()
        ]

    def begin_check(self, policy: str, key: Key | None, cost: int | None, tenant: str | None) -> Decision | Call:
        """Start a check: answered at once from the memory of denials or from a lease, else a call."""
        book = self.book
        # Most keys are text: asking for the class first saves a third of a cached denial's time.
        cache_key: Hashable = (policy, key if key.__class__ is str else _frozen(key), cost, tenant)
        denial = book.denials.entries.get(cache_key)
        if denial is not None:
            now_s = self.clock()
            if now_s < denial.until_s:
                denial.tallies.cache_hits.add()
                return denial.answer(now_s)
            book.denials.expire(cache_key)
        plan = book.plan(policy, tenant)
        if plan.in_flight:
            raise UsageError(f"policy {policy!r} limits what is in flight: use slot(), which gives the slot back")
        cost = plan.cost if cost is None else cost
        keys = plan.keys.make(key)
        if plan.lease and 0 < cost <= plan.lease:
            return self._begin_leased(book, plan, keys, cost)
        return Call(book, plan, keys, plan.request(Op.CHECK, cost), cost, Op.CHECK, cache_key)

    def _begin_leased(self, book: Rulebook, plan: Plan, keys: list[bytes], cost: int) -> Decision | Call:
        values = book.leases.spend(keys[0], cost, self.clock())
        if values is not None:
            plan.tallies.lease_hits.add()
            return self._decision(plan, values, cost)
        may_take, left = book.leases.begin(keys[0])
        if not may_take:
            return Call(book, plan, keys, plan.request(Op.CHECK, cost), cost, Op.CHECK)
        call = Call(book, plan, keys, pack_request(Op.TAKE, len(keys), plan.packed, plan.lease, cost), cost, Op.TAKE)
        if left is not None:
            call.keys = left.keys + keys
            call.requests = (_refund_request(plan, left.units), *call.requests)
            call.skip = NUMBER.size
            call.size += NUMBER.size
        return call

    def begin_many(self, requests: Sequence[CheckRequest]) -> list[Decision | Call]:
        """Start several checks; if one is misused none is sent, and the units that others leased are released."""
        begun: list[Decision | Call] = []
        try:
            for policy, key, cost, tenant in requests:
                begun.append(self.begin_check(policy, key, cost, tenant))
        except BaseException:
            for call in begun:
                if isinstance(call, Call):
                    self.abandon(call)
            raise
        return begun

    def begin_peek(self, policy: str, key: Key | None, cost: int | None, tenant: str | None) -> Call:
        """Start a look that charges nothing."""
        plan = self.book.plan(policy, tenant)
        cost = plan.cost if cost is None else cost
        return Call(self.book, plan, plan.keys.make(key), plan.request(Op.PEEK, cost), cost, Op.PEEK)

    def begin_refund(
        self, policy: str, key: Key | None, cost: int | None, tenant: str | None, refund_id: str | None
    ) -> Call:
        """Start giving units back."""
        plan = self.book.plan(policy, tenant)
        cost = plan.cost if cost is None else cost
        check_cost(cost)
        keys = plan.keys.make(key)
        if refund_id is None:
            return Call(self.book, plan, keys, _refund_request(plan, cost), cost, Op.REFUND)
        request = pack_request(Op.REFUND, len(keys), plan.packed, cost, plan.longest_us, b"id")
        return Call(self.book, plan, [*keys, plan.keys.mark(keys[0], refund_id)], request, cost, Op.REFUND)

    def begin_reset(self, policy: str, key: Key | None, tenant: str | None) -> Call:
        """Start forgetting one key's counts."""
        plan = self.book.plan(policy, tenant)
        keys = plan.keys.make(key)
        self.book.leases.drop(keys[0])
        return Call(self.book, plan, keys, pack_request(Op.RESET, len(keys), plan.packed, 0), 0, Op.RESET)

    def begin_slot(self, policy: str, key: Key | None, cost: int | None, tenant: str | None, slot_id: bytes) -> Call:
        """Start taking a slot (and charging the policy's rates, in the same step)."""
        plan = self.book.plan(policy, tenant)
        if not plan.in_flight:
            raise UsageError(f"policy {policy!r} has no limit in flight: use check()")
        cost = max(1, plan.cost) if cost is None else cost
        request = plan.request(Op.CHECK, cost) + slot_id
        return Call(self.book, plan, plan.keys.make(key), request, cost, Op.CHECK, None, slot_id)

    def begin_hold(self, taken: Call, op: Op) -> Call:
        """Start renewing or releasing the slot that `taken` took, under the limits that it was taken under."""
        plan = taken.plan
        keys = [taken.keys[at] for at in plan.in_flight]
        request = pack_request(op, len(keys), plan.packed_slots, 0, 0, taken.slot_id)
        return Call(taken.book, plan, keys, request, 0, op, None, taken.slot_id)

    def finish(self, call: Call, reply: bytes) -> Decision:
        """The decision that a reply to CHECK, PEEK or TAKE holds."""
        plan, op = call.plan, call.op
        values: tuple[float, ...] = plan.reply.unpack_from(reply, call.skip)
        if op is Op.TAKE:
            values = self._finish_take(call, values)
        decision = self._decision(plan, values, call.cost, is_counted=op is not Op.PEEK)
        if not decision.allowed and call.cache_key is not None and plan.is_cacheable:
            self._remember(call, decision)
        return decision

    def finish_number(self, call: Call, reply: bytes) -> int:
        """The number that a reply to the other requests holds."""
        if call.op in {Op.REFUND, Op.RESET}:
            call.book.denials.forget(call.keys)
        return int(NUMBER.unpack_from(reply, call.skip)[0])

    def _decision(
        self, plan: Plan, values: tuple[float, ...], cost: int, *, is_counted: bool = True, degraded: bool = False
    ) -> Decision:
        granted = values[0] >= 0
        if is_counted:
            tallies = plan.tallies
            (tallies.allowed if granted or plan.is_shadow else tallies.denied).add()
            if degraded:
                tallies.degraded.add()
            if plan.is_shadow and not granted:
                tallies.would_deny.add()
        return Decision(
            plan.name,
            plan.version,
            plan.limits,
            values,
            cost,
            granted or plan.is_shadow,
            not granted and plan.is_shadow,
            degraded,
        )

    def _remember(self, call: Call, decision: Decision) -> None:
        wait_s = decision.retry_after_s
        if wait_s is None:
            return
        now_s = self.clock()
        until_s = now_s + min(wait_s, self.options.denial_max_s)
        call.book.denials.put(call.cache_key, Denial(decision, call.keys, call.plan.tallies, now_s, until_s))

    def _finish_take(self, call: Call, values: tuple[float, ...]) -> tuple[float, ...]:
        plan, keys = call.plan, call.keys[-len(call.plan.limits) :]
        granted = int(values[0])
        lease = None
        if granted > call.cost:
            ends_us = min(
                [self.options.lease_max_s * 1e6]
                + [values[2 + 3 * at] for at, limit in enumerate(plan.limits) if limit.algorithm is Algorithm.FIXED]
            )
            lease = Lease(plan, keys, granted - call.cost, self.clock() + ends_us / 1e6, values)
        call.book.leases.end(keys[0], lease)
        return lease.now_remaining() if lease else values

    def fail(self, call: Call, error: BaseException) -> Decision:
        """The decision where Redis gave none: by the policy's `on_outage`, flagged `degraded`."""
        self._note(error)
        plan, cost = call.plan, call.cost
        if call.op is Op.TAKE:
            call.book.leases.end(call.keys[-len(plan.limits)], None)
        if plan.on_outage is OnOutage.LOCAL:
            keys = call.keys[-len(plan.limits) :]
            if plan.shares is None:
                plan.shares = self._local.shares(plan.limits)
            values = self._local.decide(
                plan.shares, keys, cost, self.clock(), slot_id=call.slot_id, is_charged=call.op is not Op.PEEK
            )
        else:
            values = (float(cost) if plan.on_outage is OnOutage.OPEN else -1.0, *plan.outage_state)
        return self._decision(plan, values, cost, is_counted=call.op is not Op.PEEK, degraded=True)

    def fail_number(self, call: Call, error: BaseException) -> int:
        """What stands for a reply to the other requests: nothing was done, so 0."""
        self._note(error)
        if call.op is Op.RELEASE:
            self._local.release(call.keys, call.slot_id)
        return 0

    def abandon(self, call: Call) -> None:
        """The caller is gone before the answer came; what was granted stays charged."""
        if call.op is Op.TAKE:
            call.book.leases.end(call.keys[-len(call.plan.limits)], None)

    def _note(self, error: BaseException) -> None:
        self.metrics.redis_failures.add()
        now_s = self.clock()
        if now_s - self._logged_s >= _LOG_EVERY_S:
            self._logged_s = now_s
            log.warning(
                "Redis gave no decision (%s: %s); policies answer by their on_outage", type(error).__name__, error
            )


def _refund_request(plan: Plan, units: int) -> bytes:
    return pack_request(Op.REFUND, len(plan.limits), plan.packed, units)


def _frozen(key: Key | None) -> Hashable:
    return tuple(sorted(key.items())) if isinstance(key, Mapping) else key
