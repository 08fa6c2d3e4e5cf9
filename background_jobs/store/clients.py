"""From any redis-py client to a private one like it that gives up in time and repeats a call once at most.

Unlike the limiter's checks, every call of a job store may be sent twice: steps are compare-and-set, submissions go by id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import (
    ClusterDownError,
)
from redis.exceptions import (
    ConnectionError as NoConnectionError,
)
from redis.retry import Retry

from background_jobs.store.errors import JobStoreUnavailableError
from background_jobs.store.options import JobStoreOptions
from ratelimit_service.redis_clients import connection_maker, connection_settings

# A connection that broke is replaced, and the call sent again, once; a cluster also has to read its map again. What timed
# out is not repeated: that would double the wait.
_REPEATS = 1
_CLUSTER_REPEATS = 2
_REPEATED = (NoConnectionError, ClusterDownError)
# Marks in an error's type or text: what a script ran into stands in the text with Redis, and is the type with Valkey.
_ADVICE = {
    ("OOM ", "OutOfMemory"): "Redis is full: raise its maxmemory, or shorten what is kept (JobStoreOptions)",
    ("READONLY", "ReadOnly"): "that Redis is a replica: point the store at the master",
    ("BusyLoading",): "Redis is loading its data: try again soon",
}


def private_client(client: redis.Redis | redis.RedisCluster, options: JobStoreOptions) -> Any:
    """A sync client of the store's own, to where the given one goes."""
    if isinstance(client, redis.RedisCluster):
        known_nodes: Any = client.nodes_manager.nodes_cache
        make_node: Any = ClusterNode
        nodes = [make_node(str(node.host), int(node.port)) for node in known_nodes.values()]
        retry = Retry(NoBackoff(), _CLUSTER_REPEATS, _REPEATED)
        settings = _cluster_settings(client.nodes_manager.connection_kwargs, options)
        return redis.RedisCluster(startup_nodes=nodes, retry=retry, **settings)
    make = _maker(client, options, Retry(NoBackoff(), _REPEATS, _REPEATED))
    make_pool: Any = redis.BlockingConnectionPool
    pool = make_pool(options.connections, options.timeout_s, make, protocol=2)
    return redis.Redis(connection_pool=pool)


def private_async_client(client: redis.asyncio.Redis | redis.asyncio.RedisCluster, options: JobStoreOptions) -> Any:
    """An asyncio client of the store's own, to where the given one goes."""
    if isinstance(client, redis.asyncio.RedisCluster):
        nodes = [
            AsyncClusterNode(str(node.host), int(node.port)) for node in client.nodes_manager.startup_nodes.values()
        ]
        retry = AsyncRetry(NoBackoff(), _CLUSTER_REPEATS, _REPEATED)
        settings = _cluster_settings(client.connection_kwargs, options)
        return redis.asyncio.RedisCluster(startup_nodes=nodes, retry=retry, **settings)
    make = _maker(client, options, AsyncRetry(NoBackoff(), _REPEATS, _REPEATED))
    pool = redis.asyncio.BlockingConnectionPool(options.connections, options.timeout_s, make, protocol=2)
    return redis.asyncio.Redis(connection_pool=pool)


def _maker(client: redis.Redis | redis.asyncio.Redis, options: JobStoreOptions, retry: Any) -> Any:
    make: Callable[[], Any] = connection_maker(client, options.timeout_s)

    def connection(**_: Any) -> Any:
        new_connection = make()
        new_connection.retry = retry
        new_connection.socket_timeout = options.timeout_s
        return new_connection

    return connection


def _cluster_settings(of_client: Any, options: JobStoreOptions) -> dict[str, Any]:
    settings = connection_settings(of_client, timeout_s=options.timeout_s, connect_s=options.timeout_s, retry=None)
    return {name: value for name, value in settings.items() if name not in {"retry", "retry_on_timeout", "driver_info"}}


def unavailable(error: BaseException) -> JobStoreUnavailableError:
    """What a failure of Redis means, and what to do about it."""
    about = f"{type(error).__name__}: {error}"
    advice = next(
        (advice for marks, advice in _ADVICE.items() if any(mark in about for mark in marks)),
        "check that Redis runs and can be reached; the call may be repeated",
    )
    return JobStoreUnavailableError(f"the job store's Redis gave no answer ({about}); {advice}")
