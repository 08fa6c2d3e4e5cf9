"""Everything that a limiter does except I/O: start a check, interpret the reply, decide without Redis.

`begin_*` returns a decision or a `Call`; the sync or async limiter sends the call; `finish` or `fail` decides.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from ratelimit_service.calls import Call
from ratelimit_service.compiled_policy import CompiledPolicy, CompiledPolicySet, check_cost
from ratelimit_service.decision import CheckRequest, Decision
from ratelimit_service.denial_cache import Denial
from ratelimit_service.errors import UsageError
from ratelimit_service.keys import Key
from ratelimit_service.lease import Lease
from ratelimit_service.limits import Algorithm
from ratelimit_service.local import LocalLimiter
from ratelimit_service.metrics import Metrics
from ratelimit_service.options import Options
from ratelimit_service.policy import OnOutage, PolicySet
from ratelimit_service.script import NUMBER, Op, pack_request

_logger = logging.getLogger(__name__)

_LOG_EVERY_S = 10.0


class Core:
    """State and logic of one limiter.

    Args:
        policies: the first policy set.
        options: the limiter's settings.
        is_cluster: whether to refuse policies whose keys span cluster slots.
        open_circuits: returns the number of open circuit breakers, for the metrics.
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
        self.compiled_set = self._compile(policies)

    def _compile(self, policies: PolicySet) -> CompiledPolicySet:
        return CompiledPolicySet(
            policies,
            prefix=self.options.prefix,
            metrics=self.metrics,
            denials=self.options.denials,
            is_cluster=self._is_cluster,
        )

    def install(self, policies: PolicySet) -> list[Call]:
        """Replace all policies atomically.

        Returns:
            Calls that refund the old set's leases.

        Raises:
            PolicyError: the set is not usable here; the old one stays in force.
        """
        old, self.compiled_set = self.compiled_set, self._compile(policies)
        return self.refund_leases(old)

    def refund_leases(self, compiled_set: CompiledPolicySet | None = None) -> list[Call]:
        """Return calls that refund the unspent units of every lease, of the set in force or another one."""
        compiled_set = compiled_set or self.compiled_set
        return [
            Call(compiled_set, lease.compiled, lease.keys, _refund_request(lease), lease.units, Op.REFUND)
            for lease in compiled_set.leases.pop_all()
        ]

    def begin_check(self, policy: str, key: Key | None, cost: int | None, tenant: str | None) -> Decision | Call:
        """Start a check: decided at once from the denial cache or a lease, else a call."""
        compiled_set = self.compiled_set
        # Most keys are str: testing the class first saves a third of a cached denial's time.
        cache_key: Hashable = (policy, key if key.__class__ is str else _frozen(key), cost, tenant)
        denial = compiled_set.denials.entries.get(cache_key)
        if denial is not None:
            now_s = self.clock()
            if now_s < denial.until_s:
                denial.counters.cache_hits.add()
                return denial.answer(now_s)
            compiled_set.denials.expire(cache_key)
        compiled = compiled_set.lookup(policy, tenant)
        if compiled.in_flight:
            raise UsageError(f"policy {policy!r} limits what is in flight: use slot() instead of check()")
        cost = compiled.cost if cost is None else cost
        keys = compiled.keys.make(key)
        if compiled.lease and 0 < cost <= compiled.lease:
            return self._begin_leased(compiled_set, compiled, keys, cost)
        return Call(compiled_set, compiled, keys, compiled.request(Op.CHECK, cost), cost, Op.CHECK, cache_key)

    def _begin_leased(
        self, compiled_set: CompiledPolicySet, compiled: CompiledPolicy, keys: list[bytes], cost: int
    ) -> Decision | Call:
        leases = compiled_set.leases
        values = leases.spend(keys[0], cost, self.clock())
        if values is not None:
            compiled.counters.lease_hits.add()
            return self._decision(compiled, values, cost)
        may_take, remainder = leases.begin_taking(keys[0])
        if not may_take:
            return Call(compiled_set, compiled, keys, compiled.request(Op.CHECK, cost), cost, Op.CHECK)
        call = Call(
            compiled_set,
            compiled,
            keys,
            pack_request(Op.TAKE, len(keys), compiled.packed, compiled.lease, cost),
            cost,
            Op.TAKE,
        )
        if remainder is not None:
            call.keys = remainder.keys + keys
            call.requests = (_refund_request(remainder), *call.requests)
            call.skip = NUMBER.size
            call.size += NUMBER.size
        return call

    def begin_many(self, requests: Sequence[CheckRequest]) -> list[Decision | Call]:
        """Start several checks; if one has invalid arguments, none is sent and the others are abandoned."""
        steps: list[Decision | Call] = []
        try:
            for policy, key, cost, tenant in requests:
                steps.append(self.begin_check(policy, key, cost, tenant))
        except BaseException:
            self.abandon(steps)
            raise
        return steps

    def begin_peek(self, policy: str, key: Key | None, cost: int | None, tenant: str | None) -> Call:
        """Start a check that charges nothing."""
        compiled = self.compiled_set.lookup(policy, tenant)
        cost = compiled.cost if cost is None else cost
        return Call(
            self.compiled_set, compiled, compiled.keys.make(key), compiled.request(Op.PEEK, cost), cost, Op.PEEK
        )

    def begin_refund(
        self, policy: str, key: Key | None, cost: int | None, tenant: str | None, refund_id: str | None
    ) -> Call:
        """Start a refund of units."""
        compiled = self.compiled_set.lookup(policy, tenant)
        cost = compiled.cost if cost is None else cost
        check_cost(cost)
        keys = compiled.keys.make(key)
        request = pack_request(Op.REFUND, len(keys), compiled.packed, cost)
        if refund_id is not None:
            request = pack_request(Op.REFUND, len(keys), compiled.packed, cost, compiled.longest_us, b"id")
            keys.append(compiled.keys.mark(keys[0], refund_id))
        return Call(self.compiled_set, compiled, keys, request, cost, Op.REFUND)

    def begin_reset(self, policy: str, key: Key | None, tenant: str | None) -> Call:
        """Start a reset of one key's counts."""
        compiled = self.compiled_set.lookup(policy, tenant)
        keys = compiled.keys.make(key)
        self.compiled_set.leases.drop(keys[0])
        return Call(
            self.compiled_set, compiled, keys, pack_request(Op.RESET, len(keys), compiled.packed, 0), 0, Op.RESET
        )

    def begin_slot(self, policy: str, key: Key | None, cost: int | None, tenant: str | None, slot_id: bytes) -> Call:
        """Start taking a slot and charging the policy's rates, atomically."""
        compiled = self.compiled_set.lookup(policy, tenant)
        if not compiled.in_flight:
            raise UsageError(f"policy {policy!r} has no limit in flight: use check() instead of slot()")
        cost = max(1, compiled.cost) if cost is None else cost
        request = compiled.request(Op.CHECK, cost) + slot_id
        return Call(self.compiled_set, compiled, compiled.keys.make(key), request, cost, Op.CHECK, None, slot_id)

    def begin_hold(self, slot_call: Call, op: Op) -> Call:
        """Start renewing or releasing the slot that `slot_call` took, under the limits of that time."""
        compiled = slot_call.compiled
        keys = [slot_call.keys[number] for number in compiled.in_flight]
        request = pack_request(op, len(keys), compiled.packed_slots, 0, 0, slot_call.slot_id)
        return Call(slot_call.compiled_set, compiled, keys, request, 0, op, None, slot_call.slot_id)

    def finish(self, call: Call, reply: bytes) -> Decision:
        """Return the decision in a reply to CHECK, PEEK or TAKE."""
        compiled, op = call.compiled, call.op
        values: tuple[float, ...] = compiled.reply.unpack_from(reply, call.skip)
        if op is Op.TAKE:
            values = self._finish_take(call, values)
        decision = self._decision(compiled, values, call.cost, is_counted=op is not Op.PEEK)
        if not decision.allowed and call.cache_key is not None and compiled.is_cacheable:
            self._remember(call, decision)
        return decision

    def finish_number(self, call: Call, reply: bytes) -> int:
        """Return the number in a reply to any other request."""
        if call.op in {Op.REFUND, Op.RESET}:
            call.compiled_set.denials.forget(call.keys)
        return int(NUMBER.unpack_from(reply, call.skip)[0])

    def _decision(
        self,
        compiled: CompiledPolicy,
        values: tuple[float, ...],
        cost: int,
        *,
        is_counted: bool = True,
        degraded: bool = False,
    ) -> Decision:
        is_granted = values[0] >= 0
        if is_counted:
            counters = compiled.counters
            (counters.allowed if is_granted or compiled.is_shadow else counters.denied).add()
            if degraded:
                counters.degraded.add()
            if compiled.is_shadow and not is_granted:
                counters.would_deny.add()
        return Decision(
            compiled.name,
            compiled.version,
            compiled.limits,
            values,
            cost,
            is_granted or compiled.is_shadow,
            not is_granted and compiled.is_shadow,
            degraded,
        )

    def _remember(self, call: Call, decision: Decision) -> None:
        wait_s = decision.retry_after_s
        if wait_s is None:
            return
        now_s = self.clock()
        until_s = now_s + min(wait_s, self.options.denial_max_s)
        call.compiled_set.denials.put(
            call.cache_key, Denial(decision, call.keys, call.compiled.counters, now_s, until_s)
        )

    def _finish_take(self, call: Call, values: tuple[float, ...]) -> tuple[float, ...]:
        compiled, keys = call.compiled, call.keys[-len(call.compiled.limits) :]
        granted = int(values[0])
        lease = None
        if granted > call.cost:
            window_ends_us = [
                values[2 + 3 * number]
                for number, limit in enumerate(compiled.limits)
                if limit.algorithm is Algorithm.FIXED
            ]
            ends_us = min([self.options.lease_max_s * 1e6, *window_ends_us])
            lease = Lease(compiled, keys, granted - call.cost, self.clock() + ends_us / 1e6, values)
        call.compiled_set.leases.finish_taking(keys[0], lease)
        return lease.current_values() if lease else values

    def fail(self, call: Call, error: BaseException) -> Decision:
        """Return the decision without Redis, by the policy's `on_outage`, flagged `degraded`."""
        self._record_failure(error)
        self.abandon([call])
        compiled, cost = call.compiled, call.cost
        if compiled.on_outage is OnOutage.LOCAL:
            keys = call.keys[-len(compiled.limits) :]
            if compiled.local_limits is None:
                compiled.local_limits = self._local.local_limits(compiled.limits)
            values = self._local.decide(
                compiled.local_limits, keys, cost, self.clock(), slot_id=call.slot_id, is_charged=call.op is not Op.PEEK
            )
        else:
            values = (float(cost) if compiled.on_outage is OnOutage.OPEN else -1.0, *compiled.outage_state)
        return self._decision(compiled, values, cost, is_counted=call.op is not Op.PEEK, degraded=True)

    def fail_number(self, call: Call, error: BaseException) -> int:
        """Return 0 in place of the number of a request that Redis did not answer."""
        self._record_failure(error)
        if call.op is Op.RELEASE:
            self._local.release(call.keys, call.slot_id)
        return 0

    @staticmethod
    def abandon(calls: Iterable[Decision | Call]) -> None:
        """Let other callers take the leases that these calls won't bring; units granted meanwhile stay charged."""
        for call in calls:
            if isinstance(call, Call) and call.op is Op.TAKE:
                call.compiled_set.leases.finish_taking(call.keys[-len(call.compiled.limits)], None)

    def _record_failure(self, error: BaseException) -> None:
        self.metrics.redis_failures.add()
        now_s = self.clock()
        if now_s - self._logged_s >= _LOG_EVERY_S:
            self._logged_s = now_s
            _logger.warning(
                "no decision from Redis (%s: %s); policies decide by on_outage", type(error).__name__, error
            )


def _refund_request(lease: Lease) -> bytes:
    return pack_request(Op.REFUND, len(lease.compiled.limits), lease.compiled.packed, lease.units)


def _frozen(key: Key | None) -> Hashable:
    return tuple(sorted(key.items())) if isinstance(key, Mapping) else key
