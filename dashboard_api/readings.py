"""What was read of a tenant's rollups lately, so that several reports over the same dates are made of one reading.

A tenant's users look at the same dates with different reports: after a change each report has to be made anew, but only what no
other one has read already is read.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple, TypeAlias
from weakref import WeakValueDictionary

from dashboard_api.filters import Filter
from dashboard_api.reports import Figures, Report
from dashboard_api.reports.report import FilterT

# An answer made of a reading is kept longer than that once more, see `KEEP_S` of the answers.
READING_KEEP_S = 20.0
# The tenant comes first, always, and is the verified caller's.
_Key: TypeAlias = tuple[int, object]
# Gives new figures of what is asked, with the parts of the given ones where they are of the same state.
ReadFigures: TypeAlias = Callable[[Figures | None], Awaitable[Figures]]


class Readings:
    """Figures of one process.

    Args:
        max_bytes: of all figures together; the least recently used go first. 0 keeps none.
        clock: monotonic seconds.
    """

    def __init__(self, max_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._bytes = 0
        self._locks: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

    @property
    def size_bytes(self) -> int:
        """Memory of the kept figures."""
        return self._bytes

    async def get(
        self, tenant_key: int, version: datetime, report: Report[FilterT], asked: FilterT, read: ReadFigures
    ) -> Figures:
        """Give figures with every part of the report, at least as new as the version.

        Args:
            tenant_key: whose.
            version: when the tenant's figures last changed, as far as this process knows.
            report: says which parts.
            asked: over which dates and stores.
            read: called where a part is missing; by one at a time for equal dates and stores.
        """
        key = (tenant_key, _scope(asked))
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            kept = self._kept.get(key)
            if kept is not None and (kept.figures.changed_at < version or self._clock() >= kept.until):
                self._forget(key)
                kept = None
            if kept is not None:
                self._kept.move_to_end(key)
                if all(part in kept.figures.texts for part in report.parts(kept.figures.period, asked)):
                    return kept.figures
            began = self._clock()
            figures = await read(None if kept is None else kept.figures)
            is_same = kept is not None and kept.figures.identity == figures.identity
            self._keep(key, _Kept(figures, kept.until if kept is not None and is_same else began + READING_KEEP_S))
            return figures

    def _keep(self, key: _Key, kept: "_Kept") -> None:
        self._forget(key)
        if kept.figures.size_bytes > self._max_bytes:
            return
        self._kept[key] = kept
        self._bytes += kept.figures.size_bytes
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: _Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.figures.size_bytes


class _Kept(NamedTuple):
    """Figures, which nothing changes while they are kept."""

    figures: Figures
    until: float


def _scope(asked: Filter) -> object:
    return asked.from_date, asked.to_date, asked.store
