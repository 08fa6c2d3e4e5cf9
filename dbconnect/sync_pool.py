"""The pool of one server, for sync code: the twin of `dbconnect.async_pool`, safe to share between threads."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from psycopg_pool import ConnectionPool, PoolClosed

from dbconnect.aborting import abort
from dbconnect.errors import UnavailableError
from dbconnect.pool_options import ENTERING_S, PoolLimits, PoolState, pool_options
from dbconnect.routes import Connection
from dbconnect.servers import Server

_Pool: TypeAlias = ConnectionPool[Connection]


@dataclass
class _Lease:
    pool: _Pool
    hung_after: float


class SyncServerPool:
    """Connections to one server."""

    def __init__(self, server: Server, limits: PoolLimits, clock: Callable[[], float]) -> None:
        """As `AsyncServerPool`."""
        self._server = server
        self._limits = limits
        self._clock = clock
        self._leases: dict[Connection, _Lease] = {}
        self._lock = threading.Lock()
        self._is_parked = False
        self._pool = self._make()

    def open(self) -> None:
        """Begin to open connections; does not wait for them."""
        self._pool.open()

    def close(self) -> None:
        """Close everything; what is in use is closed when it is given back."""
        self._pool.close()

    def acquire(self) -> Connection:
        """Take a connection, in autocommit mode.

        Raises:
            psycopg_pool.PoolTimeout: none was free in time, or none could be opened.
            UnavailableError: the pool is parked.
        """
        if self._is_parked:
            raise UnavailableError(f"{self._server.name} is away")
        pool = self._pool
        try:
            connection = pool.getconn(timeout=self._limits.wait_s)
        except PoolClosed:
            # Replaced while we waited in its queue.
            if self._is_parked:
                raise UnavailableError(f"{self._server.name} went away") from None
            pool = self._pool
            connection = pool.getconn(timeout=self._limits.wait_s)
        with self._lock:
            self._leases[connection] = _Lease(pool, self._clock() + ENTERING_S)
        return connection

    def entered(self, connection: Connection) -> None:
        """Say that the server answered: the connection may now be busy for longer."""
        with self._lock:
            self._leases[connection].hung_after = self._clock() + self._limits.hang_s

    def release(self, connection: Connection) -> None:
        """Give a connection back; an open transaction is rolled back, a broken connection replaced."""
        with self._lock:
            lease = self._leases.pop(connection)
        lease.pool.putconn(connection)

    def discard(self, connection: Connection) -> None:
        """Give back a connection that turned out dead, and with it those that were opened beside it."""
        with self._lock:
            pool = self._leases[connection].pool
        self.release(connection)
        if not self._is_parked:
            self._replace(pool)

    def renew(self) -> None:
        """Replace the pool: no connection opened before is ever taken again."""
        self._replace(self._pool)

    def park(self) -> None:
        """Close the pool of a server that is away, so that nobody waits for it; `renew` opens it again."""
        if not self._is_parked:
            self._is_parked = True
            self._pool.close(timeout=0)

    def abort_hung(self) -> None:
        """End the connections that have been in use for too long; for a server that does not answer the watcher either."""
        now = self._clock()
        # Under the lock none of them can be given back and closed, and its descriptor become another's.
        with self._lock:
            for connection, lease in self._leases.items():
                if now >= lease.hung_after:
                    abort(connection)

    def state(self) -> PoolState:
        """Describe it."""
        return PoolState.of(self._pool.get_stats(), self._limits.size, in_use=len(self._leases))

    def _replace(self, old: _Pool) -> None:
        new = self._make()
        new.open()
        with self._lock:
            is_ours = self._pool is old
            if is_ours:
                self._pool = new
                self._is_parked = False
        # Two that find dead connections at the same time replace the pool once.
        unwanted = old if is_ours else new
        unwanted.close(timeout=0)

    def _make(self) -> _Pool:
        return ConnectionPool(connection_class=Connection, **pool_options(self._server, self._limits))
