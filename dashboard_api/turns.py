"""Whose question is read next, when more are asked than can be read at once.

Right after a start nothing is kept, and a thousand users ask a thousand questions together: each takes milliseconds of this process's
own time, so that they have to wait. They wait here and not for a connection, whose wait is short because it tells of an outage; the
tenants take turns, so that one with many questions keeps no other from its first.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dashboard_api.errors import NotReadyError


class Turns:
    """Lets so many questions be read at a time.

    Args:
        slots: how many.
        wait_s: a question that has waited for so long is refused.
    """

    def __init__(self, slots: int, wait_s: float) -> None:
        self._free = slots
        self._wait_s = wait_s
        self._waiting = 0
        # The tenant whose turn is next comes first.
        self._queues: OrderedDict[int, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Questions that wait. May be asked by any thread."""
        return self._waiting

    @asynccontextmanager
    async def turn(self, tenant_key: int) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends.

        Raises:
            NotReadyError: it did not come in time.
        """
        if self._free:
            self._free -= 1
        else:
            await self._wait(tenant_key)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, tenant_key: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant_key, deque()).append(turn)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                # It came while we were being cancelled.
                self._pass_on()
            if isinstance(error, TimeoutError):
                raise NotReadyError("too many questions are being answered just now") from None
            raise
        finally:
            self._waiting -= 1

    def _pass_on(self) -> None:
        while self._queues:
            tenant_key, queue = self._queues.popitem(last=False)
            turn = queue.popleft()
            if queue:
                self._queues[tenant_key] = queue
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
