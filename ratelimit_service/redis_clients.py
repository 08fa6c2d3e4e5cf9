"""Private connections with the settings of any redis-py client, which never retry and give up at the deadline.

redis-py retries a command whose connection broke, and a check that is sent twice is charged twice. So the limiter opens
its own connections.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelPool
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from ratelimit_service.errors import UsageError

_UNUSED_SETTINGS = (
    "cache",
    "max_connections",
    "connection_class",
    "cache_config",
    "event_dispatcher",
    "himport_registry",
    "maint_notifications_config",
    "maint_notifications_pool_handler",
    "oss_cluster_maint_notifications_handler",
    "orig_host_address",
    "orig_socket_timeout",
    "orig_socket_connect_timeout",
    "retry_on_error",
    "lib_name",
    "lib_version",
    "response_callbacks",
    "connection_pool",
    "host",
    "port",
    "path",
)


_POOL_PREFIXES = ("maint_notifications", "oss_cluster_maint", "orig_", "himport", "event_dispatcher", "cache")
"""Names of a pool's own settings begin so; they tie its connections to it."""
_SENTINEL_MIN_S = 0.25
"""Shortest wait for one Sentinel where connecting goes on beside the check that began it."""


def connection_settings(
    client_settings: Mapping[str, Any], *, timeout_s: float | None, connect_s: float, retry: Any
) -> dict[str, Any]:
    """Return a client's connection settings without retries and decoding, with RESP2 (no greeting) and timeouts.

    Args:
        client_settings: `connection_kwargs` of the client's pool.
        timeout_s: seconds for each read and write; None where the caller has a deadline around the exchange.
        connect_s: seconds to connect.
        retry: a redis-py Retry with no retries, sync or async.
    """
    settings = {name: value for name, value in client_settings.items() if name not in _UNUSED_SETTINGS}
    settings.update(
        socket_timeout=timeout_s,
        socket_connect_timeout=connect_s,
        retry=retry,
        retry_on_timeout=False,
        decode_responses=False,
        protocol=2,
        health_check_interval=0,
        driver_info=None,
    )
    return settings


def connection_maker(
    client: redis.Redis | redis.asyncio.Redis, deadline_s: float, connect_s: float | None = None
) -> Callable[[], Any]:
    """Return a factory of unconnected connections to a single-server or Sentinel client's server.

    Args:
        client: whose server and settings.
        deadline_s: seconds for each read and write.
        connect_s: seconds to connect; None is the deadline.
    """
    connect_s = connect_s or deadline_s
    pool: Any = client.connection_pool
    is_async = isinstance(client, redis.asyncio.Redis)
    retry: Any = AsyncRetry(NoBackoff(), 0) if is_async else Retry(NoBackoff(), 0)
    limits: dict[str, Any] = {"timeout_s": None if is_async else deadline_s, "connect_s": connect_s, "retry": retry}
    settings = connection_settings(pool.connection_kwargs, **limits)
    if isinstance(pool, SentinelConnectionPool | AsyncSentinelPool):
        sentinels = pool.sentinel_manager.sentinels
        # A silent Sentinel must leave the others time before the deadline.
        share_s = deadline_s / (len(sentinels) + 1)
        share_s = max(deadline_s / (len(sentinels) + 1), _SENTINEL_MIN_S if is_async else 0.0)
        manager = copy.copy(pool.sentinel_manager)
        manager.sentinels = [_impatient_copy(sentinel, share_s, retry) for sentinel in sentinels]
        pool_copy = type(pool)(
            pool.service_name,
            manager,
            connection_class=pool.connection_class,
            is_master=True,
            **accepted_settings(pool.connection_class, settings),
        )
        return lambda: pool_copy.connection_class(
            **accepted_settings(pool.connection_class, pool_copy.connection_kwargs)
        )
    address = {
        name: pool.connection_kwargs[name] for name in ("host", "port", "path") if name in pool.connection_kwargs
    }
    settings = accepted_settings(pool.connection_class, address | settings)
    return lambda: pool.connection_class(**settings)


def _impatient_copy(sentinel: Any, timeout_s: float, retry: Any) -> Any:
    # With all that reaches it: connection class, TLS, credentials.
    pool = sentinel.connection_pool
    names = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": retry}
    settings = {name: value for name, value in pool.connection_kwargs.items() if not name.startswith(_POOL_PREFIXES)}
    return type(sentinel)(connection_pool=type(pool)(connection_class=pool.connection_class, **(settings | names)))


def accepted_settings(connection_class: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without those of None that the connection class of an older redis-py does not know."""
    names = {
        name
        for kind in connection_class.__mro__
        for name in inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    }
    return {name: value for name, value in settings.items() if value is not None or name in names}


def check_client(client: Any, *, is_async: bool) -> None:
    """Check that a limiter can use a client.

    Raises:
        UsageError: it is no redis-py client, one of the other kind (sync, asyncio), or an imitation.
    """
    kind = type(client)
    name = f"{kind.__module__}.{kind.__qualname__}"
    limiter, modules = ("AsyncLimiter", "redis.asyncio") if is_async else ("Limiter", "redis")
    if isinstance(client, str | bytes):
        raise UsageError(f"{limiter} takes a client, not a URL: pass {modules}.Redis.from_url(…)")
    kinds: Any = (redis.asyncio.Redis, redis.asyncio.RedisCluster) if is_async else (redis.Redis, redis.RedisCluster)
    if not isinstance(client, kinds):
        raise UsageError(f"{limiter} takes a client of {modules} (Redis or RedisCluster), not {name}")
    pool = getattr(client, "connection_pool", None)
    connection_class = getattr(pool, "connection_class", kind)
    if not {"fakeredis"}.isdisjoint(
        base.__module__.partition(".")[0] for base in (*kind.__mro__, *connection_class.__mro__)
    ):
        raise UsageError(f"{limiter} needs a Redis server; {name} imitates one, and its scripts decide otherwise")


def is_cluster(client: Any) -> bool:
    """Whether a client is one of a Redis Cluster."""
    return isinstance(client, redis.RedisCluster | redis.asyncio.RedisCluster)
