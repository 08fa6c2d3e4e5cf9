"""The one script that decides, and the packing of what goes in and comes out. Its text is lua/*.lua, joined."""

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
    """What a request asks of the script; the numbers are those of lua/main.lua."""

    CHECK = 0
    PEEK = 1
    TAKE = 2
    REFUND = 3
    RESET = 4
    RENEW = 5
    RELEASE = 6
    SET_TIME = 255


_lua = files("ratelimit_service") / "lua"
TEXT = "\n".join((_lua / f"{name}.lua").read_text(encoding="utf-8") for name in FRAGMENTS).encode()
# Redis names scripts by their SHA-1; nothing here rests on its strength.
SHA = hashlib.sha1(TEXT, usedforsecurity=False).hexdigest().encode()

_HEAD = struct.Struct(">BBdd")
_LIMIT = struct.Struct(">Bdd")


def pack_limits(limits: Sequence[Limit]) -> bytes:
    """The part of a request that a policy fixes: algorithm, capacity and interval of each limit."""
    return b"".join(_LIMIT.pack(limit.algorithm, limit.capacity, limit.interval_us) for limit in limits)


def pack_request(op: Op, count: int, limits: bytes, cost: float, least: float = 0, request_id: bytes = b"") -> bytes:
    """One request: `count` limits packed by `pack_limits`.

    Args:
        op: what to do.
        count: how many limits follow.
        limits: the packed limits.
        cost: units to charge or give back.
        least: TAKE: the fewest units worth granting; REFUND: how long to remember the id, in microseconds.
        request_id: the lease of a slot, or anything for a refund that has a mark key.
    """
    return _HEAD.pack(op, count, cost, least) + limits + request_id


def pack_time(now_us: int) -> bytes:
    """A request that sets the clock for those after it in the same call: for tests and replays."""
    return _HEAD.pack(Op.SET_TIME, 0, now_us, 0)


@cache
def reply_struct(count: int) -> struct.Struct:
    """The reply to CHECK, PEEK and TAKE over `count` limits: granted, then (remaining, reset_us, wait_us) of each.

    `granted` is -1 for a refusal; a wait of -1 says that no waiting helps.
    """
    return struct.Struct(">d" + "ddd" * count)


NUMBER = struct.Struct(">d")
