"""Finished answers by (tenant, question, version): bounded in bytes, and made once however many ask at the same time."""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime

from prometheus_client import Counter

from dashboard_api.answers import Answer

# What no version tells, such as a row changed by hand, shows a minute later at the latest: the figures that an answer is made of
# are kept for up to 20 s, it for up to 40 s; for half of that at least, so that answers that a burst of questions made together do
# not all have to be made anew together.
KEEP_S = 40.0
# (tenant_key, question): the tenant comes first, always, and is the verified caller's.
Key = tuple[int, Hashable]


class AnswerCache:
    """Answers of one process.

    Args:
        max_bytes: of all answers together; the least recently used go first. 0 keeps none, but joins equal questions.
        lookups: counted by what became of each: `hit`, `joined` (someone else was asking) or `miss`.
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
        self._lookups = {outcome: lookups.labels(outcome) for outcome in ("hit", "joined", "miss")}
        self._clock = clock
        self._dice = dice
        self._answers: OrderedDict[Key, tuple[Answer, float]] = OrderedDict()
        self._bytes = 0
        self._flights: dict[Key, asyncio.Task[Answer]] = {}

    @property
    def size_bytes(self) -> int:
        """Memory of the kept answers."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._answers)

    async def get(self, key: Key, version: datetime, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """Give an answer that is at least as new as the version, from memory, or made now.

        Args:
            key: whose and what.
            version: when the tenant's figures last changed, as far as this process knows.
            make: reads and renders; what it raises goes to everyone who waited for it.
        """
        kept = self._answers.get(key)
        if kept is not None:
            answer, until = kept
            if answer.changed_at >= version and self._clock() < until:
                self._answers.move_to_end(key)
                self._lookups["hit"].inc()
                return answer
            self._forget(key)
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
            flight = asyncio.ensure_future(make())
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        # Shielded: whoever hangs up does not end it for the others.
        return await asyncio.shield(flight)

    def _land(self, key: Key, flight: asyncio.Future[Answer]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.cancelled() or flight.exception() is not None:
            return
        answer = flight.result()
        if answer.size_bytes > self._max_bytes:
            return
        self._forget(key)
        self._answers[key] = (answer, self._clock() + KEEP_S * (0.5 + self._dice() / 2))
        self._bytes += answer.size_bytes
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._answers)))

    def _forget(self, key: Key) -> None:
        kept = self._answers.pop(key, None)
        if kept is not None:
            self._bytes -= kept[0].size_bytes
