"""Private connections with the settings of any redis-py client, which never retry and give up at the deadline.

redis-py retries a command whose connection broke, and a check that is sent twice is charged twice. So the limiter opens
its own connections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelPool
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

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
        sentinels = [node.connection_pool.connection_kwargs for node in pool.sentinel_manager.sentinels]
        # A silent Sentinel must leave the others time before the deadline.
        share_s = deadline_s / (len(sentinels) + 1)
        manager: Any = (AsyncSentinel if is_async else Sentinel)([], pool.sentinel_manager.min_other_sentinels)
        manager.sentinels = [
            (redis.asyncio.Redis if is_async else redis.Redis)(
                host=node["host"], port=node["port"], **_client_settings(node, share_s, retry)
            )
            for node in sentinels
        ]
        kind: Any = AsyncSentinelPool if is_async else SentinelConnectionPool
        pool_copy = kind(pool.service_name, manager, connection_class=pool.connection_class, is_master=True, **settings)
        return lambda: pool_copy.connection_class(**pool_copy.connection_kwargs)
    address = {
        name: pool.connection_kwargs[name] for name in ("host", "port", "path") if name in pool.connection_kwargs
    }
    return lambda: pool.connection_class(**address, **settings)


def _client_settings(client_settings: Mapping[str, Any], timeout_s: float, retry: Any) -> dict[str, Any]:
    names = ("username", "password", "ssl", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs")
    settings = {name: client_settings[name] for name in names if client_settings.get(name) is not None}
    return settings | {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": retry}


def is_cluster(client: Any) -> bool:
    """Whether a client is one of a Redis Cluster."""
    return isinstance(client, redis.RedisCluster | redis.asyncio.RedisCluster)
