"""The events of all jobs as they happen: one reader per process, however many watch.

The feed is the quick path and may miss something (Redis away, its end cut off); each job's own stream is the truth. So a
watcher that is told to look again, or sees a gap, reads there (see `following`).
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from background_jobs.store import AsyncJobStore, JobEvent, JobStoreUnavailableError

# What a watcher may have waiting; a reader that lets more than this pile up is dropped and resumes by itself.
PENDING_MAX = 256
_BLOCK_MS = 1_000
_BATCH = 1_000
_AGAIN_AFTER_S = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """One event and its text, written once for everyone who watches."""

    event: JobEvent
    text: bytes


def tell(event: JobEvent) -> Told:
    """Write an event as a browser's EventSource reads it, without the id, which only a single job's stream has."""
    data = json.dumps(event.as_document(), ensure_ascii=False, separators=(",", ":"))
    return Told(event, f"event: {event.type}\ndata: {data}\n\n".encode())


class Watch:
    """What one watcher has not taken yet.

    Attributes:
        ended: set when nothing more will come: the watcher was too slow, or the process ends.
        is_overrun: whether it was too slow.
    """

    def __init__(self, feed: "Feed", group: dict[str, set["Watch"]], name: str) -> None:
        self._feed = feed
        self._group = group
        self._name = name
        self._pending: deque[Told] = deque()
        self._news = asyncio.Event()
        self._must_look = False
        self.ended = asyncio.Event()
        self.is_overrun = False

    def __enter__(self) -> Self:
        self._group.setdefault(self._name, set()).add(self)
        if self._feed.is_closed:
            self.end()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        watches = self._group[self._name]
        watches.discard(self)
        if not watches:
            del self._group[self._name]

    async def next(self, within_s: float) -> list[Told] | None:
        """Give what has happened since; [] where nothing has within that time; None: look into the store."""
        if not self._news.is_set():
            try:
                async with asyncio.timeout(within_s):
                    await self._news.wait()
            except TimeoutError:
                return []
        self._news.clear()
        if self._must_look:
            self._must_look = False
            self._pending.clear()
            return None
        told = list(self._pending)
        self._pending.clear()
        return told

    def put(self, told: Told) -> None:
        """Add an event, unless too many wait already."""
        if len(self._pending) >= PENDING_MAX:
            self.is_overrun = True
            self.end()
            return
        self._pending.append(told)
        self._news.set()

    def look(self) -> None:
        """Have the watcher look into the store: something may have been missed."""
        self._must_look = True
        self._news.set()

    def end(self) -> None:
        """Say that nothing more will come."""
        self.ended.set()


class Feed:
    """Tails the store's feed and hands each event to those who watch its job or its tenant.

    Args:
        store: where the feed is.
    """

    def __init__(self, store: AsyncJobStore) -> None:
        self._store = store
        self._of_job: dict[str, set[Watch]] = {}
        self._of_tenant: dict[str, set[Watch]] = {}
        self._position: str | None = None
        self.is_connected = False
        self.is_closed = False

    def watch_job(self, job_id: str) -> Watch:
        """Watch one job, within a `with` block."""
        return Watch(self, self._of_job, job_id)

    def watch_tenant(self, tenant: str) -> Watch:
        """Watch every job of a tenant, within a `with` block."""
        return Watch(self, self._of_tenant, tenant)

    async def run(self) -> None:
        """Read until cancelled, whatever happens to Redis."""
        while True:
            try:
                if not self.is_connected:
                    await self._connect()
                await self._read()
            except JobStoreUnavailableError as error:
                if self.is_connected:
                    log.warning("the jobs' events can't be read: %s", error)
                self.is_connected = False
                await asyncio.sleep(_AGAIN_AFTER_S)

    def close(self) -> None:
        """End every watch: the process ends."""
        self.is_closed = True
        for watch in self._watches():
            watch.end()

    async def _connect(self) -> None:
        _, tail = await self._store.feed_bounds()
        # A Redis that has lost its data, or stands behind another clock, begins anew below where we were.
        if self._position is None or _order(tail) < _order(self._position):
            self._position = tail
        self.is_connected = True
        for watch in self._watches():
            watch.look()

    async def _read(self) -> None:
        events = await self._store.feed(self._position or "$", block_ms=_BLOCK_MS, limit=_BATCH)
        for event in events:
            self._position = event.feed_id
            self._deliver(event)

    def _deliver(self, event: JobEvent) -> None:
        of_job, of_tenant = self._of_job.get(event.job_id), self._of_tenant.get(event.tenant)
        if of_job or of_tenant:
            told = tell(event)
            for watch in (*(of_job or ()), *(of_tenant or ())):
                watch.put(told)

    def _watches(self) -> Iterable[Watch]:
        return [watch for group in (self._of_job, self._of_tenant) for watches in group.values() for watch in watches]


def _order(feed_id: str) -> tuple[int, int]:
    milliseconds, _, number = feed_id.partition("-")
    return int(milliseconds), int(number or 0)
