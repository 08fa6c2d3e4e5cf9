"""Rendered reports by tenant, query and data version: bounded in bytes, built once for concurrent requests, renewed in advance."""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from prometheus_client import Counter

from dashboard_api.rendered_report import RenderedReport

# What no data version shows, such as a row changed by hand, appears after five minutes at the latest: figures are cached for up to a
# minute, the report made of them for up to four, and at least half of that, so that reports built in one burst don't all expire together.
REPORT_KEEP_S = 240.0
# How long an outdated report is still served while a new one is being built. Building takes milliseconds, but seconds where the cores
# are busy, and then requests that wait for it make them busier.
GRACE_S = 10.0
# A report that nobody has requested for this long is not renewed.
_RENEW_IF_REQUESTED_WITHIN_S = 60.0
# (tenant_key, query): the tenant always comes first, and is the verified caller's.
CacheKey: TypeAlias = tuple[int, Hashable]
# Builds a report that is at least as new as the given data version.
Build: TypeAlias = Callable[[datetime], Awaitable[RenderedReport]]


@dataclass(slots=True)
class _Entry:
    """A cached report.

    Attributes:
        expires_at: renew it after this.
        requested_at: the last request for it.
        build: builds it again.
        outdated_at: when the first change that it does not show was noticed; None: no change was.
    """

    report: RenderedReport
    expires_at: float
    requested_at: float
    build: Build
    outdated_at: float | None


class ReportCache:
    """The rendered reports of one process.

    Args:
        max_bytes: of all reports together; the least recently used are evicted. 0 stores none, but concurrent requests still share one build.
        lookups: counts look-ups by outcome: `hit`, `renewing` (an outdated report, while a new one is built), `joined` (another request was
            building it) or `miss`.
        clock: monotonic seconds.
        random_fraction: returns a number from 0 to 1.
    """

    def __init__(
        self,
        max_bytes: int,
        lookups: Counter,
        *,
        clock: Callable[[], float] = time.monotonic,
        random_fraction: Callable[[], float] = random.random,
    ) -> None:
        self._max_bytes = max_bytes
        self._lookups = {outcome: lookups.labels(outcome) for outcome in ("hit", "renewing", "joined", "miss")}
        self._clock = clock
        self._random_fraction = random_fraction
        self._entries: OrderedDict[CacheKey, _Entry] = OrderedDict()
        self._keys_of_tenant: dict[int, set[CacheKey]] = {}
        self._bytes = 0
        self._builds: dict[CacheKey, asyncio.Task[RenderedReport]] = {}
        # The newest data version of each tenant, and when it was noticed.
        self._versions: dict[int, tuple[datetime, float]] = {}
        self._renewal_queue: OrderedDict[CacheKey, None] = OrderedDict()
        self._has_renewals = asyncio.Event()

    @property
    def size_bytes(self) -> int:
        """Approximate memory of the cached reports."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: CacheKey, version: datetime, build: Build) -> RenderedReport:
        """Return a report, cached or built now: at least as new as the version, or as the version of `GRACE_S` ago.

        Args:
            key: the tenant and the query.
            version: when the tenant's figures last changed, as far as this process knows.
            build: reads and renders; its exception is raised to every request that waits for it.
        """
        entry = self._entries.get(key)
        if entry is not None:
            entry.requested_at, entry.build = self._clock(), build
            self._entries.move_to_end(key)
            outdated_since = self._outdated_since(entry, version)
            if entry.requested_at < outdated_since:
                self._lookups["hit"].inc()
                return entry.report
            if entry.requested_at < outdated_since + GRACE_S:
                self._lookups["renewing"].inc()
                self._enqueue_renewal(key)
                return entry.report
        task = self._builds.get(key)
        if task is not None:
            report = await asyncio.shield(task)
            if report.changed_at >= version:
                self._lookups["joined"].inc()
                return report
            # It had begun before the change that is known here.
            task = self._builds.get(key)
        self._lookups["miss"].inc()
        if task is None or task.done():
            task = self._start_build(key, version, build)
        # Shielded: a client that disconnects does not cancel it for the others.
        return await asyncio.shield(task)

    def on_change(self, versions: Mapping[int, datetime]) -> None:
        """Mark reports of changed tenants as outdated, and renew those that were requested lately.

        Args:
            versions: new data version by tenant key.
        """
        now = self._clock()
        for tenant_key, version in versions.items():
            self._versions[tenant_key] = (version, now)
            for key in self._keys_of_tenant.get(tenant_key, ()):
                entry = self._entries[key]
                if entry.outdated_at is None and entry.report.changed_at < version:
                    entry.outdated_at = now
                if now - entry.requested_at < _RENEW_IF_REQUESTED_WITHIN_S:
                    self._enqueue_renewal(key)

    async def renew(self) -> None:
        """Rebuild outdated reports one after the other until cancelled. Several may run at once."""
        while True:
            # Checked after each wait: all waiters are woken, and there may be work for only one.
            while not self._renewal_queue:
                self._has_renewals.clear()
                await self._has_renewals.wait()
            key, _ = self._renewal_queue.popitem(last=False)
            entry = self._entries.get(key)
            if entry is None or (entry.outdated_at is None and self._clock() < entry.expires_at):
                continue
            version, _ = self._versions.get(key[0], (entry.report.changed_at, 0.0))
            # An exception is raised to whoever requests it next.
            await asyncio.wait([self._builds.get(key) or self._start_build(key, version, entry.build)])

    def _outdated_since(self, entry: _Entry, version: datetime) -> float:
        """Return since when the report is outdated: a future moment while it is not."""
        if entry.report.changed_at >= version:
            return entry.expires_at
        return float("-inf") if entry.outdated_at is None else min(entry.outdated_at, entry.expires_at)

    def _enqueue_renewal(self, key: CacheKey) -> None:
        self._renewal_queue[key] = None
        self._has_renewals.set()

    def _start_build(self, key: CacheKey, version: datetime, build: Build) -> "asyncio.Task[RenderedReport]":
        task = asyncio.ensure_future(build(version))
        self._builds[key] = task
        requested_at = self._clock()
        task.add_done_callback(lambda done: self._finish_build(key, done, build, requested_at))
        return task

    def _finish_build(
        self, key: CacheKey, task: asyncio.Future[RenderedReport], build: Build, requested_at: float
    ) -> None:
        if self._builds.get(key) is task:
            del self._builds[key]
        if task.cancelled() or task.exception() is not None:
            return
        report = task.result()
        previous = self._entries.get(key)
        self._evict(key)
        if report.size_bytes > self._max_bytes:
            return
        outdated_at = None
        version, noticed_at = self._versions.get(key[0], (report.changed_at, 0.0))
        if report.changed_at < version:
            # Read from a server that lags behind, or before the change.
            outdated_at = noticed_at if previous is None or previous.outdated_at is None else previous.outdated_at
        expires_at = self._clock() + REPORT_KEEP_S * (0.5 + self._random_fraction() / 2)
        if previous is not None:
            requested_at = previous.requested_at
        self._entries[key] = _Entry(report, expires_at, requested_at, build, outdated_at)
        self._keys_of_tenant.setdefault(key[0], set()).add(key)
        self._bytes += report.size_bytes
        while self._bytes > self._max_bytes:
            self._evict(next(iter(self._entries)))

    def _evict(self, key: CacheKey) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._bytes -= entry.report.size_bytes
        keys = self._keys_of_tenant[key[0]]
        keys.discard(key)
        if not keys:
            del self._keys_of_tenant[key[0]]
