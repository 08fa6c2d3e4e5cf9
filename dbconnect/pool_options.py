"""What the sync and the async pool of a server have in common."""

from dataclasses import dataclass
from typing import Any

from dbconnect.routes import connection_options
from dbconnect.servers import Server

# After this the pool stops trying by itself; the next read makes it try again. Its own pauses double, and would outlast
# an outage by half its length.
_RECONNECT_S = 2.0
_KEPT_OPEN = 2
# A server that takes longer to answer BEGIN, and the watcher not at all, hangs.
ENTERING_S = 1.0


@dataclass(frozen=True)
class PoolState:
    """One pool of this process.

    Attributes:
        size: connections open or being opened.
        limit: the most that it opens.
        in_use: connections that a read holds.
        waiting: reads that wait for one.
    """

    size: int
    limit: int
    in_use: int
    waiting: int

    def plus(self, other: "PoolState") -> "PoolState":
        """Add another pool of the same server."""
        return PoolState(
            self.size + other.size, self.limit + other.limit, self.in_use + other.in_use, self.waiting + other.waiting
        )

    @classmethod
    def of(cls, stats: dict[str, int], limit: int, *, in_use: int) -> "PoolState":
        """Make it of what psycopg_pool's `get_stats` gives."""
        return cls(stats.get("pool_size", 0), limit, in_use, stats.get("requests_waiting", 0))


@dataclass(frozen=True)
class PoolLimits:
    """What a pool may do.

    Attributes:
        size: the most connections.
        wait_s: how long a reader waits for a free one.
        hang_s: a connection in use for longer is ended, once its server does not answer the watcher either.
        prepare_threshold: psycopg's: prepare a statement when it is run for the nth time; None: never.
    """

    size: int
    wait_s: float
    hang_s: float
    prepare_threshold: int | None = None


def pool_options(server: Server, limits: PoolLimits) -> dict[str, Any]:
    """Keyword arguments of `ConnectionPool` and `AsyncConnectionPool`."""
    return {
        "conninfo": server.url,
        "kwargs": connection_options(f"dashboard {server.name}") | {"prepare_threshold": limits.prepare_threshold},
        "min_size": min(_KEPT_OPEN, limits.size),
        "max_size": limits.size,
        "name": f"connect-{server.name}",
        "reconnect_timeout": _RECONNECT_S,
        "open": False,
    }
