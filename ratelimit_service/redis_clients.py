"""From any redis-py client to private connections like its own that never retry and give up at the deadline.

redis-py retries a command whose connection broke. A check that is sent again is charged twice, so the limiter sends
over connections that it makes itself, from the settings of the client that it was given.
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

_NOT_OURS = (
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
    of_client: Mapping[str, Any], *, timeout_s: float | None, connect_s: float, retry: Any
) -> dict[str, Any]:
    """A client's connection settings, made safe: no retry, no decoding, RESP2 (no greeting), and a time limit.

    Args:
        of_client: `connection_kwargs` of the client's pool.
        timeout_s: seconds for each read and write; None where a deadline stands around the whole exchange.
        connect_s: seconds to connect.
        retry: a redis-py Retry of no retries, sync or async.
    """
    settings = {name: value for name, value in of_client.items() if name not in _NOT_OURS}
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


def connection_maker(client: redis.Redis | redis.asyncio.Redis, deadline_s: float) -> Callable[[], Any]:
    """Makes unconnected connections to where a single-server or Sentinel client goes."""
    pool: Any = client.connection_pool
    is_async = isinstance(client, redis.asyncio.Redis)
    retry: Any = AsyncRetry(NoBackoff(), 0) if is_async else Retry(NoBackoff(), 0)
    limits: dict[str, Any] = {"timeout_s": None if is_async else deadline_s, "connect_s": deadline_s, "retry": retry}
    settings = connection_settings(pool.connection_kwargs, **limits)
    if isinstance(pool, SentinelConnectionPool | AsyncSentinelPool):
        sentinels = [node.connection_pool.connection_kwargs for node in pool.sentinel_manager.sentinels]
        # One that does not answer must leave the others time before the deadline.
        share_s = deadline_s / (len(sentinels) + 1)
        manager: Any = (AsyncSentinel if is_async else Sentinel)([], pool.sentinel_manager.min_other_sentinels)
        manager.sentinels = [
            (redis.asyncio.Redis if is_async else redis.Redis)(
                host=node["host"], port=node["port"], **_client_settings(node, share_s, retry)
            )
            for node in sentinels
        ]
        kind: Any = AsyncSentinelPool if is_async else SentinelConnectionPool
        ours = kind(pool.service_name, manager, connection_class=pool.connection_class, is_master=True, **settings)
        return lambda: ours.connection_class(**ours.connection_kwargs)
    address = {
        name: pool.connection_kwargs[name] for name in ("host", "port", "path") if name in pool.connection_kwargs
    }
    return lambda: pool.connection_class(**address, **settings)


def _client_settings(of_client: Mapping[str, Any], timeout_s: float, retry: Any) -> dict[str, Any]:
    kept = ("username", "password", "ssl", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs")
    settings = {name: of_client[name] for name in kept if of_client.get(name) is not None}
    return settings | {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": retry}


def is_cluster(client: Any) -> bool:
    """Whether a client speaks to a Redis Cluster."""
    return isinstance(client, redis.RedisCluster | redis.asyncio.RedisCluster)
