"""What was read of a tenant's rollups lately, so that several reports over the same dates are made of one reading.

A tenant's users look at the same dates with different reports. After a change each report has to be made anew, but the first of them reads
for the others as well: all that was used of the figures before the change.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from weakref import WeakValueDictionary

from dashboard_api.filters import Filter
from dashboard_api.reports import Figures, Part, Report
from dashboard_api.reports.reading import without_parts
from dashboard_api.reports.report import FilterT

# An answer made of a reading is kept longer than that once more, see `KEEP_S` of the answers.
READING_KEEP_S = 60.0
# The tenant comes first, always, and is the verified caller's.
_Key: TypeAlias = tuple[int, object]
# Gives figures with the report's parts and some more. The first argument is what was read before, whose parts need not be read again where
# the state is the same; the second says which parts others will ask for.
ReadFigures: TypeAlias = Callable[[Figures | None, Sequence[Part]], Awaitable[Figures]]


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
            now = self._clock()
            is_current = kept is not None and kept.figures.changed_at >= version and now < kept.until
            if kept is None:
                kept = _Kept(await read(None, ()), now + READING_KEEP_S)
            elif not is_current:
                kept = _Kept(await read(without_parts(kept.figures), tuple(kept.used)), now + READING_KEEP_S)
            elif any(part not in kept.figures.texts for part in report.parts(kept.figures.period, asked)):
                figures = await read(kept.figures, ())
                is_same = kept.figures.identity == figures.identity
                kept = _Kept(figures, kept.until if is_same else now + READING_KEEP_S, kept.used)
            kept.used.update(report.parts(kept.figures.period, asked))
            self._keep(key, kept)
            return kept.figures

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


@dataclass(slots=True)
class _Kept:
    """Figures, which nothing changes while they are kept, and which of their parts somebody asked for."""

    figures: Figures
    until: float
    used: set[Part] = field(default_factory=set)


def _scope(asked: Filter) -> object:
    return asked.from_date, asked.to_date, asked.store
