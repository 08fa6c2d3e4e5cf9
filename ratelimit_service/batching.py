"""Many calls as one script call, and its reply taken apart again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from ratelimit_service.core import Call

T = TypeVar("T")


def join(calls: Sequence[Call]) -> tuple[list[bytes], list[bytes]]:
    """KEYS and ARGV of all calls in order."""
    keys: list[bytes] = []
    requests: list[bytes] = []
    for call in calls:
        keys += call.keys
        requests += call.requests
    return keys, requests


def split(calls: Sequence[Call], reply: bytes) -> Iterator[bytes]:
    """Each call's part of the reply."""
    at = 0
    for call in calls:
        yield reply[at : at + call.size]
        at += call.size


def groups(sent: Sequence[T], slot: Callable[[T], Hashable] | None, size: int) -> Iterator[Sequence[T]]:
    """What may go together, at most `size` at a time, so that no script runs for long.

    Args:
        sent: calls, alone or with what waits for them.
        slot: gives the cluster slot of one; None: there is only one server.
        size: of a group.
    """
    by_slot: dict[Hashable, list[T]] = {}
    if slot is not None:
        for one in sent:
            by_slot.setdefault(slot(one), []).append(one)
    for together in by_slot.values() if slot is not None else (sent,):
        for start in range(0, len(together), size):
            yield together[start : start + size]
