"""Options and states that the async and the sync pool of a server share."""

from dataclasses import dataclass
from typing import Any

from dbconnect.routes import Server, connection_options

# After this the pool stops reconnecting until the next read. Its own pauses double, and would outlast an outage by
# half its length.
_RECONNECT_S = 2.0
_MIN_SIZE = 2
# A server hangs that takes longer to answer BEGIN, and does not answer the health monitor.
OPENING_S = 1.0


@dataclass(frozen=True)
class PoolState:
    """One pool of this process.

    Attributes:
        size: connections open or being opened.
        limit: maximum number of connections.
        in_use: connections in use by reads.
        waiting: reads waiting for a connection.
    """

    size: int
    limit: int
    in_use: int
    waiting: int

    @classmethod
    def of(cls, stats: dict[str, int], limit: int, *, in_use: int) -> "PoolState":
        """Convert the result of psycopg_pool's `get_stats`."""
        return cls(stats.get("pool_size", 0), limit, in_use, stats.get("requests_waiting", 0))


@dataclass(frozen=True)
class PoolLimits:
    """Sizes and waits of a pool.

    Attributes:
        size: maximum number of connections.
        wait_s: how long a read waits for a free connection.
        hang_s: a connection in use for longer is ended if its server does not answer the health monitor either.
        prepare_threshold: psycopg's: prepare a statement when it is run for the nth time; None: never.
    """

    size: int
    wait_s: float
    hang_s: float
    prepare_threshold: int | None = None


def pool_options(server: Server, limits: PoolLimits) -> dict[str, Any]:
    """Return the keyword arguments of `ConnectionPool` and `AsyncConnectionPool`."""
    return {
        "conninfo": server.url,
        "kwargs": connection_options(f"dashboard {server.name}") | {"prepare_threshold": limits.prepare_threshold},
        "min_size": min(_MIN_SIZE, limits.size),
        "max_size": limits.size,
        "name": f"connect-{server.name}",
        "reconnect_timeout": _RECONNECT_S,
        "open": False,
    }
