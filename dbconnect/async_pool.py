"""The pool of one server, for async code: bounded, replaceable while in use, and able to end what hangs."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from psycopg_pool import AsyncConnectionPool, PoolClosed

from dbconnect.aborting import abort
from dbconnect.errors import UnavailableError
from dbconnect.pool_options import ENTERING_S, PoolLimits, PoolState, pool_options
from dbconnect.routes import AsyncConnection
from dbconnect.servers import Server

_Pool: TypeAlias = AsyncConnectionPool[AsyncConnection]


@dataclass
class _Lease:
    pool: _Pool
    hung_after: float


class AsyncServerPool:
    """Connections to one server. All methods run in the router's event loop."""

    def __init__(self, server: Server, limits: PoolLimits, clock: Callable[[], float]) -> None:
        """Describe a pool; `open` opens it.

        Args:
            server: where to.
            limits: what it may do.
            clock: monotonic seconds.
        """
        self._server = server
        self._limits = limits
        self._clock = clock
        self._leases: dict[AsyncConnection, _Lease] = {}
        self._is_parked = False
        self._closing: set[asyncio.Task[None]] = set()
        self._pool = self._make()

    async def open(self) -> None:
        """Begin to open connections; does not wait for them."""
        await self._pool.open()

    async def close(self) -> None:
        """Close everything; what is in use is closed when it is given back."""
        await self._pool.close()
        await asyncio.gather(*self._closing)

    async def acquire(self) -> AsyncConnection:
        """Take a connection, in autocommit mode.

        Raises:
            psycopg_pool.PoolTimeout: none was free in time, or none could be opened.
            UnavailableError: the pool is parked.
        """
        if self._is_parked:
            raise UnavailableError(f"{self._server.name} is away")
        pool = self._pool
        try:
            connection = await pool.getconn(timeout=self._limits.wait_s)
        except PoolClosed:
            # Replaced while we waited in its queue, or not quite open after being replaced.
            if self._is_parked:
                raise UnavailableError(f"{self._server.name} went away") from None
            pool = self._pool
            await pool.open()
            connection = await pool.getconn(timeout=self._limits.wait_s)
        self._leases[connection] = _Lease(pool, self._clock() + ENTERING_S)
        return connection

    def entered(self, connection: AsyncConnection) -> None:
        """Say that the server answered: the connection may now be busy for longer."""
        self._leases[connection].hung_after = self._clock() + self._limits.hang_s

    async def release(self, connection: AsyncConnection) -> None:
        """Give a connection back; an open transaction is rolled back, a broken connection replaced."""
        lease = self._leases.pop(connection)
        await lease.pool.putconn(connection)

    async def discard(self, connection: AsyncConnection) -> None:
        """Give back a connection that turned out dead, and with it those that were opened beside it."""
        pool = self._leases[connection].pool
        await self.release(connection)
        if pool is self._pool and not self._is_parked:
            await self.renew()

    async def renew(self) -> None:
        """Replace the pool: no connection opened before is ever taken again."""
        new = self._make()
        # At once, so that two that find dead connections at the same time replace the pool once.
        old, self._pool = self._pool, new
        self._is_parked = False
        await new.open()
        self._close(old)

    def park(self) -> None:
        """Close the pool of a server that is away, so that nobody waits for it; `renew` opens it again."""
        if not self._is_parked:
            self._is_parked = True
            self._close(self._pool)

    def abort_hung(self) -> None:
        """End the connections that have been in use for too long; for a server that does not answer the watcher either."""
        now = self._clock()
        for connection, lease in self._leases.items():
            if now >= lease.hung_after:
                abort(connection)

    def state(self) -> PoolState:
        """Describe it."""
        return PoolState.of(self._pool.get_stats(), self._limits.size, in_use=len(self._leases))

    def _close(self, pool: _Pool) -> None:
        # Not waiting for its workers, which may be connecting in vain: who waits in its queue is sent on at once.
        task = asyncio.create_task(pool.close(timeout=0))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _make(self) -> _Pool:
        return AsyncConnectionPool(connection_class=AsyncConnection, **pool_options(self._server, self._limits))
