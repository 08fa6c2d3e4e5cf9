"""One step on its way to Redis, and many of them joined into one script call."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, TypeVar, cast

from ratelimit_service.compiled_policy import CompiledPolicy, CompiledPolicySet
from ratelimit_service.policy import PolicySet
from ratelimit_service.script import NUMBER, SLOT_ID_BYTES, Op, pack_limits, pack_request

T = TypeVar("T")


class Call:
    """Usually one request; two where the unspent units of an old lease are refunded on the way.

    Attributes:
        keys: the script's KEYS.
        requests: its ARGV.
        size: bytes of its part of the reply.
        skip: bytes at the start of the reply that belong to the refund.
    """

    __slots__ = ("cache_key", "compiled", "compiled_set", "cost", "keys", "op", "requests", "size", "skip", "slot_id")

    def __init__(
        self,
        compiled_set: CompiledPolicySet,
        compiled: CompiledPolicy,
        keys: list[bytes],
        request: bytes,
        cost: int,
        op: Op,
        cache_key: Hashable = None,
        slot_id: bytes = b"",
    ) -> None:
        self.compiled_set = compiled_set
        self.compiled = compiled
        self.keys = keys
        self.requests: tuple[bytes, ...] = (request,)
        self.cost = cost
        self.op = op
        self.size = compiled.reply.size if op <= Op.TAKE else NUMBER.size
        self.skip = 0
        self.cache_key = cache_key
        self.slot_id = slot_id


def ping_call(policies: PolicySet, prefix: str) -> Call:
    """Return a call that charges and deletes a key of its own under each algorithm that the policies use."""
    limits = list({limit.algorithm: limit for policy in policies.values() for limit in policy.limits}.values())
    packed = pack_limits(limits)
    keys = [f"{prefix}:{{ping}}:{limit.algorithm:d}".encode() for limit in limits] or [f"{prefix}:{{ping}}".encode()]
    call = Call(cast("Any", None), cast("Any", None), [*keys, *keys], b"", 0, Op.RESET)
    call.requests = (
        pack_request(Op.CHECK, len(limits), packed, 1, 0, secrets.token_bytes(SLOT_ID_BYTES)),
        pack_request(Op.RESET, len(limits), packed, 0),
    )
    return call


def join(calls: Sequence[Call]) -> tuple[list[bytes], list[bytes]]:
    """Return KEYS and ARGV of all calls, in order."""
    return [key for call in calls for key in call.keys], [request for call in calls for request in call.requests]


def split(calls: Sequence[Call], reply: bytes) -> Iterator[bytes]:
    """Yield each call's part of the reply."""
    start = 0
    for call in calls:
        yield reply[start : start + call.size]
        start += call.size


def batches(calls: Sequence[T], slot: Callable[[T], Hashable] | None, size: int) -> Iterator[Sequence[T]]:
    """Yield what can go in one script call: at most `size` at a time, so that no script runs for long.

    Args:
        calls: calls, alone or with the future that waits for them.
        slot: returns an item's cluster slot; None: there is only one server.
        size: maximum items of a batch.
    """
    by_slot: dict[Hashable, list[T]] = {}
    if slot is not None:
        for call in calls:
            by_slot.setdefault(slot(call), []).append(call)
    for group in by_slot.values() if slot is not None else (calls,):
        for start in range(0, len(group), size):
            yield group[start : start + size]
