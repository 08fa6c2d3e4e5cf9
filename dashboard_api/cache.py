"""Finished answers by tenant, question and version: bounded in bytes, made once however many ask, renewed before somebody has to wait."""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import Counter

from dashboard_api.answers import Answer

# What no version tells, such as a row changed by hand, shows five minutes later at the latest: the figures that an answer is made of
# are kept for up to a minute, it for up to four; for half of that at least, so that answers that a burst of questions made together do
# not all have to be made anew together.
KEEP_S = 240.0
# How long an answer is still given after a change of its figures was noticed, or its time was up, while a new one is being made. That takes
# milliseconds; seconds where the cores are full, when who waits for it makes them fuller.
GRACE_S = 10.0
# What nobody has asked for this long is not renewed.
_ASKED_WITHIN_S = 60.0
# (tenant_key, question): the tenant comes first, always, and is the verified caller's.
Key = tuple[int, Hashable]
# Makes an answer that is at least as new as the given version.
Make = Callable[[datetime], Awaitable[Answer]]


@dataclass(slots=True)
class _Kept:
    """An answer that is kept.

    Attributes:
        until: renew it after this.
        asked_at: when somebody last asked for it.
        make: how to make it anew.
        outdated_at: when the first change that it does not show was noticed; None: none was.
    """

    answer: Answer
    until: float
    asked_at: float
    make: Make
    outdated_at: float | None


class AnswerCache:
    """Answers of one process.

    Args:
        max_bytes: of all answers together; the least recently used go first. 0 keeps none, but joins equal questions.
        lookups: counted by what became of each: `hit`, `renewing` (a moment old, while a new one is made), `joined` (someone else
            was asking) or `miss`.
        clock: monotonic seconds.
        dice: gives a number from 0 to 1.
    """

    def __init__(
        self,
        max_bytes: int,
        lookups: Counter,
        *,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._max_bytes = max_bytes
        self._lookups = {outcome: lookups.labels(outcome) for outcome in ("hit", "renewing", "joined", "miss")}
        self._clock = clock
        self._dice = dice
        self._answers: OrderedDict[Key, _Kept] = OrderedDict()
        self._of_tenant: dict[int, set[Key]] = {}
        self._bytes = 0
        self._flights: dict[Key, asyncio.Task[Answer]] = {}
        # The newest version of each tenant, and when it was noticed.
        self._noticed: dict[int, tuple[datetime, float]] = {}
        self._wanted: OrderedDict[Key, None] = OrderedDict()
        self._is_wanted = asyncio.Event()

    @property
    def size_bytes(self) -> int:
        """Memory of the kept answers."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._answers)

    async def get(self, key: Key, version: datetime, make: Make) -> Answer:
        """Give an answer from memory, or made now: at least as new as the version, or as the one that held `GRACE_S` ago.

        Args:
            key: whose and what.
            version: when the tenant's figures last changed, as far as this process knows.
            make: reads and renders; what it raises goes to everyone who waited for it.
        """
        kept = self._answers.get(key)
        if kept is not None:
            kept.asked_at, kept.make = self._clock(), make
            self._answers.move_to_end(key)
            lacks_since = self._lacks_since(kept, version)
            if kept.asked_at < lacks_since:
                self._lookups["hit"].inc()
                return kept.answer
            if kept.asked_at < lacks_since + GRACE_S:
                self._lookups["renewing"].inc()
                self._want(key)
                return kept.answer
        flight = self._flights.get(key)
        if flight is not None:
            answer = await asyncio.shield(flight)
            if answer.changed_at >= version:
                self._lookups["joined"].inc()
                return answer
            # It had begun before the change that we know of.
            flight = self._flights.get(key)
        self._lookups["miss"].inc()
        if flight is None or flight.done():
            flight = self._start(key, version, make)
        # Shielded: whoever hangs up does not end it for the others.
        return await asyncio.shield(flight)

    def tell(self, changed: Mapping[int, datetime]) -> None:
        """Say that tenants' figures have changed: those of their answers that were asked for lately are renewed.

        Args:
            changed: tenant to version.
        """
        now = self._clock()
        for tenant_key, version in changed.items():
            self._noticed[tenant_key] = (version, now)
            for key in self._of_tenant.get(tenant_key, ()):
                kept = self._answers[key]
                if kept.outdated_at is None and kept.answer.changed_at < version:
                    kept.outdated_at = now
                if now - kept.asked_at < _ASKED_WITHIN_S:
                    self._want(key)

    async def renew(self) -> None:
        """Make anew what is outdated, one after the other, until cancelled; so that it takes turns with whoever asks.

        Several may run at once.
        """
        while True:
            # Asked anew after each wait: all who wait are woken, and there may be one thing to do.
            while not self._wanted:
                self._is_wanted.clear()
                await self._is_wanted.wait()
            key, _ = self._wanted.popitem(last=False)
            kept = self._answers.get(key)
            if kept is None or (kept.outdated_at is None and self._clock() < kept.until):
                continue
            version, _ = self._noticed.get(key[0], (kept.answer.changed_at, 0.0))
            # What goes wrong is told to whoever asks next.
            await asyncio.wait([self._flights.get(key) or self._start(key, version, kept.make)])

    def _lacks_since(self, kept: _Kept, version: datetime) -> float:
        """Since when the answer is not what it should be: a moment to come where it still is."""
        if kept.answer.changed_at >= version:
            return kept.until
        return float("-inf") if kept.outdated_at is None else min(kept.outdated_at, kept.until)

    def _want(self, key: Key) -> None:
        self._wanted[key] = None
        self._is_wanted.set()

    def _start(self, key: Key, version: datetime, make: Make) -> "asyncio.Task[Answer]":
        flight = asyncio.ensure_future(make(version))
        self._flights[key] = flight
        asked_at = self._clock()
        flight.add_done_callback(lambda done: self._land(key, done, make, asked_at))
        return flight

    def _land(self, key: Key, flight: asyncio.Future[Answer], make: Make, asked_at: float) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.cancelled() or flight.exception() is not None:
            return
        answer = flight.result()
        old = self._answers.get(key)
        self._forget(key)
        if answer.size_bytes > self._max_bytes:
            return
        outdated_at = None
        version, noticed_at = self._noticed.get(key[0], (answer.changed_at, 0.0))
        if answer.changed_at < version:
            # Read from a server that is behind, or before the change.
            outdated_at = noticed_at if old is None or old.outdated_at is None else old.outdated_at
        until = self._clock() + KEEP_S * (0.5 + self._dice() / 2)
        self._answers[key] = _Kept(answer, until, asked_at if old is None else old.asked_at, make, outdated_at)
        self._of_tenant.setdefault(key[0], set()).add(key)
        self._bytes += answer.size_bytes
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._answers)))

    def _forget(self, key: Key) -> None:
        kept = self._answers.pop(key, None)
        if kept is None:
            return
        self._bytes -= kept.answer.size_bytes
        keys = self._of_tenant[key[0]]
        keys.discard(key)
        if not keys:
            del self._of_tenant[key[0]]
