"""The Lua script (lua/*.lua, joined) and the packing of its arguments and replies."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from importlib.resources import files

from ratelimit_service.limits import Limit

FRAGMENTS = ("prelude", "gcra", "window", "log", "slots", "main")


class Op(IntEnum):
    """Operations of the script, numbered as in lua/main.lua."""

    CHECK = 0
    PEEK = 1
    TAKE = 2
    REFUND = 3
    RESET = 4
    RENEW = 5
    RELEASE = 6
    SET_TIME = 255


SLOT_ID_BYTES = 6
"""Random bytes of a slot's id: as many as the script can store in an integer beside the lease's end (lua/slots.lua)."""

_lua = files("ratelimit_service") / "lua"
TEXT = "\n".join((_lua / f"{name}.lua").read_text(encoding="utf-8") for name in FRAGMENTS).encode()
# Redis identifies scripts by SHA-1; no security depends on it.
SHA = hashlib.sha1(TEXT, usedforsecurity=False).hexdigest().encode()

_HEAD = struct.Struct(">BBdd")
_LIMIT = struct.Struct(">Bdd")


def pack_limits(limits: Sequence[Limit]) -> bytes:
    """Pack the constant part of a policy's requests: algorithm, capacity and interval of each limit."""
    return b"".join(_LIMIT.pack(limit.algorithm, limit.capacity, limit.interval_us) for limit in limits)


def pack_request(op: Op, count: int, limits: bytes, cost: float, minimum: float = 0, request_id: bytes = b"") -> bytes:
    """Pack one request.

    Args:
        op: the operation.
        count: number of limits.
        limits: the limits, packed by `pack_limits`.
        cost: units to charge or refund.
        minimum: TAKE: the fewest units to grant; REFUND: how long to remember the id, in microseconds.
        request_id: a slot's id; any bytes for a refund with a mark key.
    """
    return _HEAD.pack(op, count, cost, minimum) + limits + request_id


def pack_time(now_us: int) -> bytes:
    """Pack a request that sets the clock for later ones of the same call: for tests and replays."""
    return _HEAD.pack(Op.SET_TIME, 0, now_us, 0)


@cache
def reply_struct(count: int) -> struct.Struct:
    """Return the struct of a reply to CHECK, PEEK or TAKE: granted, then (remaining, reset_us, wait_us) per limit.

    `granted` is -1 for a refusal; `wait_us` is -1 if the request can never pass.
    """
    return struct.Struct(">d" + "ddd" * count)


NUMBER = struct.Struct(">d")
