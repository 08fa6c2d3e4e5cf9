"""Distribute the events of all jobs as they happen: one reader per process, however many subscribers.

The store's feed is the fast path and may miss events (Redis away, the feed trimmed); each job's own event log is complete. So a subscriber
that is asked to resync, or sees a gap, reads that (see `job_events`).
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from background_jobs.store import AsyncJobStore, JobEvent, JobStoreUnavailableError

# Pending events of a subscriber; a client that lets more pile up is disconnected, and resumes by itself.
PENDING_MAX = 256
_BLOCK_MS = 1_000
_BATCH = 1_000
_RETRY_AFTER_S = 0.5
_CANCEL_AGAIN_AFTER_S = 0.05

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """An event and its text, encoded once for all subscribers."""

    event: JobEvent
    text: bytes


def encode(event: JobEvent) -> EncodedEvent:
    """Encode an event as a Server-Sent Event, without the id, which only a single job's stream has."""
    data = json.dumps(event.as_document(), ensure_ascii=False, separators=(",", ":"))
    return EncodedEvent(event, f"event: {event.type}\ndata: {data}\n\n".encode())


class Subscription:
    """The events that one subscriber has not read yet. Subscribed within a `with` block.

    Attributes:
        ended: set when no more events will come: the subscriber was too slow, or the process shuts down.
        is_overrun: whether the subscriber was too slow.
    """

    def __init__(self, hub: "EventHub", subscribers: dict[str, set["Subscription"]], name: str) -> None:
        self._hub = hub
        self._subscribers = subscribers
        self._name = name
        self._pending: deque[EncodedEvent] = deque()
        self._has_events = asyncio.Event()
        self._needs_resync = False
        self.ended = asyncio.Event()
        self.is_overrun = False

    def __enter__(self) -> Self:
        self._subscribers.setdefault(self._name, set()).add(self)
        if self._hub.is_closed:
            self.ended.set()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        others = self._subscribers[self._name]
        others.discard(self)
        if not others:
            del self._subscribers[self._name]

    async def next(self, timeout_s: float) -> list[EncodedEvent] | None:
        """Return the events since the last call; [] after the timeout; None: events may be missing, read the store."""
        if not self._has_events.is_set():
            try:
                async with asyncio.timeout(timeout_s):
                    await self._has_events.wait()
            except TimeoutError:
                return []
        self._has_events.clear()
        events = None if self._needs_resync else list(self._pending)
        self._needs_resync = False
        self._pending.clear()
        return events

    def put(self, event: EncodedEvent) -> None:
        """Add an event, or end the subscription if too many are pending."""
        if len(self._pending) >= PENDING_MAX:
            self.is_overrun = True
            self.ended.set()
            return
        self._pending.append(event)
        self._has_events.set()

    def resync(self) -> None:
        """Make the subscriber read the store: events may have been missed."""
        self._needs_resync = True
        self._has_events.set()


class EventHub:
    """Tail the store's feed, and hand each event to the subscribers of its job and its tenant.

    Args:
        store: where the feed is.
    """

    def __init__(self, store: AsyncJobStore) -> None:
        self._store = store
        self._of_job: dict[str, set[Subscription]] = {}
        self._of_tenant: dict[str, set[Subscription]] = {}
        self._position: str | None = None
        self.is_connected = False
        self.is_closed = False

    def subscribe_to_job(self, job_id: str) -> Subscription:
        """Return a subscription to one job."""
        return Subscription(self, self._of_job, job_id)

    def subscribe_to_tenant(self, tenant: str) -> Subscription:
        """Return a subscription to all jobs of a tenant."""
        return Subscription(self, self._of_tenant, tenant)

    async def run(self) -> None:
        """Read the feed until cancelled; reconnect after an outage of Redis."""
        while True:
            try:
                if not self.is_connected:
                    await self._connect()
                events = await self._store.feed(self._position or "$", block_ms=_BLOCK_MS, limit=_BATCH)
                for event in events:
                    self._position = event.feed_id
                    self._deliver(event)
            except JobStoreUnavailableError as error:
                if self.is_connected:
                    _logger.warning("can't read job events: %s", error)
                self.is_connected = False
                await asyncio.sleep(_RETRY_AFTER_S)

    def close(self) -> None:
        """End every subscription, since the process shuts down."""
        self.is_closed = True
        for subscription in self._subscriptions():
            subscription.ended.set()

    async def _connect(self) -> None:
        _, tail = await self._store.feed_bounds()
        # A Redis that has lost its data, or has another clock, starts again below the known position.
        if self._position is None or _order(tail) < _order(self._position):
            self._position = tail
        self.is_connected = True
        for subscription in self._subscriptions():
            subscription.resync()

    def _deliver(self, event: JobEvent) -> None:
        subscriptions = (*self._of_job.get(event.job_id, ()), *self._of_tenant.get(event.tenant, ()))
        if subscriptions:
            encoded = encode(event)
            for subscription in subscriptions:
                subscription.put(encoded)

    def _subscriptions(self) -> Iterable[Subscription]:
        return [one for group in (self._of_job, self._of_tenant) for members in group.values() for one in members]


def _order(feed_id: str) -> tuple[int, int]:
    milliseconds, _, number = feed_id.partition("-")
    return int(milliseconds), int(number or 0)


async def cancel_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and return when they have ended; their exceptions stay in them.

    redis-py sends within `asyncio.wait_for`, which up to Python 3.11 loses a cancellation that arrives just as the sending
    completes (python/cpython#86296): so it is repeated.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_AFTER_S)
