"""Figures read lately, so that several reports over the same dates and stores share one read.

A tenant's users look at the same dates in different reports. After a change each report is built again, but the first one to be built
reads the parts of the others too: all that were used of the figures before the change.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from weakref import WeakValueDictionary

from dashboard_api.reports.figures import Figures, FilterT, Part, Report, without_parts

# A report built of figures is cached for longer on top of this, see `REPORT_KEEP_S`.
FIGURES_KEEP_S = 60.0
# The tenant always comes first, and is the verified caller's.
_Key: TypeAlias = tuple[int, object]
# Returns figures with the report's parts and more. First argument: earlier figures, whose parts need not be read again where the state is
# the same. Second: the parts that other reports will need.
ReadFigures: TypeAlias = Callable[[Figures | None, Sequence[Part]], Awaitable[Figures]]


class FiguresCache:
    """The figures of one process.

    Args:
        max_bytes: of all figures together; the least recently used are evicted. 0 stores none.
        clock: monotonic seconds.
    """

    def __init__(self, max_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._bytes = 0
        self._locks: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

    @property
    def size_bytes(self) -> int:
        """Approximate memory of the cached figures."""
        return self._bytes

    async def get(
        self, tenant_key: int, version: datetime, report: Report[FilterT], filters: FilterT, read: ReadFigures
    ) -> Figures:
        """Return figures with every part of the report, at least as new as the version.

        Args:
            tenant_key: the tenant's surrogate key.
            version: when the tenant's figures last changed, as far as this process knows.
            report: determines the parts.
            filters: the dates and stores.
            read: called where a part is missing; by one request at a time for equal dates and stores.
        """
        key = (tenant_key, (filters.from_date, filters.to_date, filters.store))
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            entry = self._entries.get(key)
            now = self._clock()
            expires_at = now + FIGURES_KEEP_S
            is_current = entry is not None and entry.figures.changed_at >= version and now < entry.expires_at
            if entry is None:
                entry = _Entry(await read(None, ()), expires_at)
            elif not is_current:
                entry = _Entry(await read(without_parts(entry.figures), tuple(entry.used)), expires_at)
            elif any(part not in entry.figures.texts for part in report.parts(entry.figures.period, filters)):
                figures = await read(entry.figures, ())
                is_same_state = entry.figures.state_key == figures.state_key
                entry = _Entry(figures, entry.expires_at if is_same_state else expires_at, entry.used)
            entry.used.update(report.parts(entry.figures.period, filters))
            self._store(key, entry)
            return entry.figures

    def _store(self, key: _Key, entry: "_Entry") -> None:
        self._evict(key)
        if entry.figures.size_bytes > self._max_bytes:
            return
        self._entries[key] = entry
        self._bytes += entry.figures.size_bytes
        while self._bytes > self._max_bytes:
            self._evict(next(iter(self._entries)))

    def _evict(self, key: _Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.figures.size_bytes


@dataclass(slots=True)
class _Entry:
    """Figures, which nothing changes while they are cached, and the parts that reports used of them."""

    figures: Figures
    expires_at: float
    used: set[Part] = field(default_factory=set)
