"""The pool of one server, for async code: bounded, replaceable while in use, and able to end connections that hang.

`tools/async_to_sync` makes `sync_pool.py` of this file. The lock is for the threads of that one; it is never held over an
`await`, so in an event loop it costs nothing.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from psycopg_pool import AsyncConnectionPool, PoolClosed

from dbconnect.errors import UnavailableError
from dbconnect.failures import abort_connection
from dbconnect.pool_options import OPENING_S, PoolLimits, PoolState, pool_options
from dbconnect.routes import AsyncConnection, Server

_Pool: TypeAlias = AsyncConnectionPool[AsyncConnection]


@dataclass
class _Lease:
    pool: _Pool
    hung_after: float


class AsyncServerPool:
    """Connections to one server; the async version is used in one event loop."""

    def __init__(self, server: Server, limits: PoolLimits, clock: Callable[[], float]) -> None:
        """Set up a pool; `open` opens it.

        Args:
            server: where to connect.
            limits: sizes and waits.
            clock: monotonic seconds.
        """
        self._server = server
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._leases: dict[AsyncConnection, _Lease] = {}
        self._is_parked = False
        self._pool = self._new_pool()

    async def open(self) -> None:
        """Start opening connections; does not wait for them."""
        await self._pool.open()

    async def close(self) -> None:
        """Close the pool; connections in use are closed when they are released."""
        await self._pool.close()

    async def acquire(self) -> AsyncConnection:
        """Take a connection, in autocommit mode.

        Raises:
            psycopg_pool.PoolTimeout: none was free in time, or none could be opened.
            UnavailableError: the pool is parked.
        """
        pool = self._open_pool()
        try:
            connection = await pool.getconn(timeout=self._limits.wait_s)
        except PoolClosed:
            # Replaced or parked while we waited in its queue.
            pool = self._open_pool()
            connection = await pool.getconn(timeout=self._limits.wait_s)
        with self._lock:
            self._leases[connection] = _Lease(pool, self._clock() + OPENING_S)
        return connection

    def mark_responsive(self, connection: AsyncConnection) -> None:
        """Record that the server answered: the connection may now be busy for longer."""
        with self._lock:
            self._leases[connection].hung_after = self._clock() + self._limits.hang_s

    async def release(self, connection: AsyncConnection) -> None:
        """Return a connection; an open transaction is rolled back, a broken connection replaced."""
        with self._lock:
            lease = self._leases.pop(connection)
        await lease.pool.putconn(connection)

    async def discard(self, connection: AsyncConnection) -> None:
        """Release a dead connection, and replace the pool that it came from."""
        with self._lock:
            pool = self._leases[connection].pool
        await self.release(connection)
        if pool is self._pool and not self._is_parked:
            await self._replace(pool)

    async def renew(self) -> bool:
        """Replace the pool, so that no connection opened before is ever taken again.

        Returns:
            Whether the new pool is in use; False when the pool was parked meanwhile.
        """
        await self._replace(self._pool)
        return not self._is_parked

    async def park(self) -> None:
        """Close the pool of a server that is down, so that no read waits for it; `renew` opens it again."""
        with self._lock:
            was_parked, self._is_parked = self._is_parked, True
        if not was_parked:
            await self._pool.close(timeout=0)

    def abort_hung(self) -> None:
        """End the connections that are in use for too long; for a server that does not answer the monitor either."""
        now = self._clock()
        # Under the lock none of them can be released and closed, and its descriptor become another's.
        with self._lock:
            for connection, lease in self._leases.items():
                if now >= lease.hung_after:
                    abort_connection(connection)

    def state(self) -> PoolState:
        """Return the pool's state."""
        return PoolState.of(self._pool.get_stats(), self._limits.size, in_use=len(self._leases))

    def _open_pool(self) -> _Pool:
        if self._is_parked:
            raise UnavailableError(f"{self._server.name} is down")
        return self._pool

    async def _replace(self, old: _Pool) -> None:
        new = self._new_pool()
        await new.open()
        with self._lock:
            # Two that find dead connections at the same time replace the pool once.
            is_current = self._pool is old
            if is_current:
                self._pool = new
                self._is_parked = False
        unused = old if is_current else new
        # Without waiting for its workers, which may be connecting to a dead server.
        await unused.close(timeout=0)

    def _new_pool(self) -> _Pool:
        return AsyncConnectionPool(connection_class=AsyncConnection, **pool_options(self._server, self._limits))
