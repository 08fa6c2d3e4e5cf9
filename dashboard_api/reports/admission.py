"""Admit requests to the database, fairly between tenants, when more arrive than can be read at once.

Right after a start the caches are empty, and a thousand users' requests arrive together, each of which takes milliseconds of this process's
own time. They wait here, not for a connection: that wait is short, since a long one means an outage. Tenants take turns, so that one with
many requests does not hold up the first request of another.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dashboard_api.errors import NotReadyError


class FairQueue:
    """Limit concurrent requests, and admit waiting ones tenant by tenant.

    Args:
        slots: how many requests at a time.
        timeout_s: a request that has waited this long is refused.
    """

    def __init__(self, slots: int, timeout_s: float) -> None:
        self._free = slots
        self._timeout_s = timeout_s
        self._waiting = 0
        # The tenant whose turn is next comes first.
        self._queues: OrderedDict[int, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many requests wait. Any thread may read it."""
        return self._waiting

    @asynccontextmanager
    async def slot(self, tenant_key: int) -> AsyncIterator[None]:
        """Wait for a slot, and hold it until the block ends.

        Raises:
            NotReadyError: no slot became free in time.
        """
        if self._free:
            self._free -= 1
        else:
            await self._wait(tenant_key)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, tenant_key: int) -> None:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant_key, deque()).append(granted)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled():
                # It was granted while this request was being cancelled.
                self._release()
            if isinstance(error, TimeoutError):
                raise NotReadyError("the server is overloaded; retry later") from None
            raise
        finally:
            self._waiting -= 1

    def _release(self) -> None:
        while self._queues:
            tenant_key, queue = self._queues.popitem(last=False)
            granted = queue.popleft()
            if queue:
                self._queues[tenant_key] = queue
            if not granted.done():
                granted.set_result(None)
                return
        self._free += 1
