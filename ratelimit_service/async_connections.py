"""Connections of one event loop to one Redis server. A connection in the making outlives the check that began it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ratelimit_service.options import Options
from ratelimit_service.transport import CONNECT_MAX_S, CONNECTING_MAX, STALE_S


class AsyncConnectionPool:
    """Connections to one server, newest first; callers wait while all are in use or none is made yet.

    A check's deadline ends its wait, not the connecting: a server whose greeting takes longer than a deadline is reached
    by a later check.

    Args:
        make: returns an unconnected redis-py asyncio connection.
        options: the deadline, after which a check begins a connection beside those in the making; maximum connections.
    """

    def __init__(self, make: Callable[[], Any], options: Options) -> None:
        self._make = make
        self._options = options
        self._idle: deque[tuple[Any, float]] = deque()
        self._waiters: deque[asyncio.Future[Any]] = deque()
        # In the order of their start.
        self._connecting: dict[asyncio.Task[None], float] = {}
        self._lent_count = 0

    @property
    def is_full(self) -> bool:
        """Whether all connections are in use."""
        return self._lent_count >= self._options.connections

    async def acquire(self) -> Any:
        """Return an open connection, for `release` or `discard`; wait for one without end.

        Raises:
            RedisError, OSError: one could not be opened.
        """
        while self._idle:
            connection, since_s = self._idle.pop()
            self._lent_count += 1
            if time.monotonic() - since_s < STALE_S:
                return connection
            try:
                # Before redis-py 8 it had this name alone.
                can_read = getattr(connection, "can_read", None) or connection.can_read_destructive
                if not await can_read():
                    return connection
            except BaseException:
                await self.discard(connection)
                raise
            await connection.disconnect(nowait=True)
            self._lent_count -= 1
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._connect_for_waiters()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())
            raise

    def release(self, connection: Any) -> None:
        """Return a healthy connection: to whoever has waited longest."""
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
        else:
            self._lent_count -= 1
            self._idle.append((connection, time.monotonic()))

    async def discard(self, connection: Any) -> None:
        """Close a failed connection, and all idle ones, which have most likely failed too."""
        self._lent_count -= 1
        await connection.disconnect(nowait=True)
        await self._drop_idle()
        self._connect_for_waiters()

    async def aclose(self) -> None:
        """Close the idle connections and those in the making; the pool stays usable."""
        for task in tuple(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        await self._drop_idle()

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._idle.pop()[0].disconnect(nowait=True)

    def _next_waiter(self) -> asyncio.Future[Any] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _connect_for_waiters(self) -> None:
        now_s = time.monotonic()
        waiting = sum(not waiter.done() for waiter in self._waiters)
        recent = sum(now_s - began_s < self._options.deadline_s for began_s in self._connecting.values())
        room = self._options.connections - self._lent_count - len(self._idle) - len(self._connecting)
        for _ in range(waiting - recent):
            if room <= 0 or len(self._connecting) >= CONNECTING_MAX:
                # The oldest have the most time to come to an end, and one is always new: a server may be back.
                if recent or len(self._connecting) < 2:
                    return
                newest = next(reversed(self._connecting))
                del self._connecting[newest]
                newest.cancel()
            room, recent = room - 1, recent + 1
            task = asyncio.get_running_loop().create_task(self._connect())
            self._connecting[task] = now_s
            task.add_done_callback(self._on_end_of_connecting)

    def _on_end_of_connecting(self, task: asyncio.Task[None]) -> None:
        if self._connecting.pop(task, None) is not None:
            self._connect_for_waiters()

    async def _connect(self) -> None:
        connection = self._make()
        try:
            async with asyncio.timeout(CONNECT_MAX_S):
                await connection.connect()
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if not isinstance(error, Exception):
                raise
            await self._drop_idle()
            waiter = self._next_waiter()
            if waiter is not None:
                waiter.set_exception(error)
        else:
            self._lent_count += 1
            self.release(connection)
