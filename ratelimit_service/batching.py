"""Many calls as one script call, and its reply taken apart again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

from ratelimit_service.core import Call


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


def groups(calls: Sequence[Call], group: Callable[[Sequence[bytes]], Hashable], size: int) -> Iterator[list[Call]]:
    """Calls that may go together (one cluster slot), at most `size` at a time, so that no script runs for long."""
    by_slot: dict[Hashable, list[Call]] = {}
    for call in calls:
        by_slot.setdefault(group(call.keys), []).append(call)
    for together in by_slot.values():
        for start in range(0, len(together), size):
            yield together[start : start + size]
