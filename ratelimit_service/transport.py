"""Send script calls to Redis, each once, over private connections. async_transport.py is the async one."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError
from redis.retry import Retry

from ratelimit_service.backoff import CircuitBreaker
from ratelimit_service.cluster_map import ClusterMap, NodeAddress
from ratelimit_service.options import Options
from ratelimit_service.redis_clients import (
    accepted_settings,
    check_client,
    connection_maker,
    connection_settings,
    is_cluster,
)
from ratelimit_service.script import SHA, TEXT

OUTAGE = (RedisError, OSError)
"""Errors of a round trip; each becomes a degraded decision."""
REDIRECTS_MAX = 5
STALE_S = 1.0
"""A connection that was idle for longer is tested before use."""
CONNECT_MAX_S = 10.0
"""Longest time to connect; it goes on beside the checks, whose deadline is shorter."""
CONNECTING_MAX = 8
"""Connections to one server in the making at a time."""
_TIMEOUT_MIN_S = 0.001
_FULL_DEADLINE = 0.9


class CircuitOpenError(RedisError):
    """Nothing was sent: the circuit breaker is open."""


class BusyError(RedisError):
    """Nothing was sent: all connections were in use until the deadline."""


class ConnectionPool:
    """Connections to one server, newest first; callers wait while all are in use.

    Args:
        make: returns an unconnected redis-py connection.
        size: maximum connections.
    """

    def __init__(self, make: Callable[[], Any], size: int) -> None:
        self._make = make
        self._size = size
        self._idle: deque[tuple[Any, float]] = deque()
        self._open_count = 0
        self._waiting = 0
        self._released = threading.Condition()
        forget = weakref.WeakMethod(self.forget)
        os.register_at_fork(after_in_child=lambda: (method := forget()) and method())

    def acquire(self, until_s: float) -> Any:
        """Return an open connection.

        Raises:
            BusyError: none was free by `until_s` (monotonic).
            RedisError, OSError: a new one could not be opened.
        """
        try:
            connection, since_s = self._idle.pop()
        except IndexError:
            connection, since_s = self._wait(until_s)
        if since_s and time.monotonic() - since_s < STALE_S:
            return connection
        try:
            if since_s and connection.can_read():
                connection.disconnect()
            connection.socket_connect_timeout = max(until_s - time.monotonic(), _TIMEOUT_MIN_S)
            connection.connect()
        except BaseException:
            self.discard(connection)
            raise
        return connection

    def _wait(self, until_s: float) -> tuple[Any, float]:
        with self._released:
            self._waiting += 1
            try:
                # Test again after counting this waiter: whoever releases a connection from here on notifies.
                while not self._idle and self._open_count >= self._size:
                    if not self._released.wait(until_s - time.monotonic()):
                        raise BusyError(f"all {self._size} connections were in use until the deadline")
                if self._idle:
                    return self._idle.pop()
                self._open_count += 1
            finally:
                self._waiting -= 1
        return self._make(), 0.0

    def release(self, connection: Any) -> None:
        """Return a healthy connection to the pool."""
        self._idle.append((connection, time.monotonic()))
        if self._waiting:
            with self._released:
                self._released.notify()

    def discard(self, connection: Any) -> None:
        """Close a failed connection, and all idle ones, which have most likely failed too."""
        connection.disconnect()
        with self._released:
            self._open_count -= 1
            self._released.notify()
        self.close()

    def close(self) -> None:
        """Close the idle connections; the pool stays usable."""
        while True:
            try:
                connection, _ = self._idle.pop()
            except IndexError:
                return
            with self._released:
                self._open_count -= 1
                self._released.notify()
            connection.disconnect()

    def forget(self) -> None:
        """Drop the parent's connections in a forked child, without closing them."""
        self._idle.clear()
        self._open_count = 0
        self._waiting = 0
        self._released = threading.Condition()


class Transport:
    """Script calls with a redis-py client's settings: to a single server, Sentinel's master, or a cluster.

    Args:
        client: any sync redis-py client.
        options: deadline, connections, circuit breakers.
        clock: monotonic seconds, for the breakers; deadlines use the real clock.
    """

    def __init__(
        self,
        client: redis.Redis | redis.RedisCluster,
        options: Options,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_client(client, is_async=False)
        self._options = options
        self._clock = clock
        self._pools: dict[NodeAddress | None, ConnectionPool] = {}
        self._breakers: dict[NodeAddress | None, CircuitBreaker] = {}
        self._lock = threading.Lock()
        self._map: ClusterMap | None = None
        self.is_cluster = is_cluster(client)
        if isinstance(client, redis.RedisCluster):
            nodes = client.nodes_manager
            self._map = ClusterMap.of_nodes(nodes.slots_cache, nodes.nodes_cache.values())
            node_pool: Any = client.get_redis_connection(next(iter(nodes.nodes_cache.values()))).connection_pool
            kind = node_pool.connection_class
            settings = connection_settings(
                node_pool.connection_kwargs,
                timeout_s=options.deadline_s,
                connect_s=options.deadline_s,
                retry=Retry(NoBackoff(), 0),
            )
            accepted = accepted_settings(kind, settings)
            self._make_at: Callable[[NodeAddress], Any] = lambda address: kind(
                host=address[0], port=address[1], **accepted
            )
        else:
            self._pools[None] = ConnectionPool(connection_maker(client, options.deadline_s), options.connections)
            self._breakers[None] = self._breaker()

    def _breaker(self) -> CircuitBreaker:
        return CircuitBreaker(self._options.breaker_threshold, self._options.breaker_open_s)

    def open_circuits(self) -> int:
        """Return the number of open circuit breakers."""
        return sum(breaker.is_open for breaker in tuple(self._breakers.values()))

    def group(self, keys: Sequence[bytes]) -> int | None:
        """Return the cluster slot, which calls must have in common to go in one script call; None without a cluster."""
        return None if self._map is None else key_slot(keys[0])

    def call(self, keys: Sequence[bytes], requests: Sequence[bytes]) -> bytes:
        """Run the script once.

        Raises:
            CircuitOpenError: nothing was sent.
            RedisError, OSError: no valid reply; whether the script ran is unknown.
        """
        owner = self._map.owner(keys[0]) if self._map is not None else None
        breaker = self._breakers.get(owner) or self._breakers.setdefault(owner, self._breaker())
        if breaker.is_open and not breaker.allows(self._clock()):
            raise CircuitOpenError("the circuit breaker is open")
        try:
            reply = self._send(owner, (SHA, len(keys), *keys, *requests))
        except BusyError:
            raise
        except BaseException:
            breaker.record_failure(self._clock())
            if self._map is not None and owner is not None:
                self._map.record_failure(owner)
            raise
        breaker.record_success()
        return reply

    def _send(self, owner: NodeAddress | None, command: tuple[Any, ...]) -> bytes:
        address = owner if self._map is None or owner is None else self._map.target(owner)
        is_asking = False
        until_s = time.monotonic() + self._options.deadline_s
        for tries_left in reversed(range(REDIRECTS_MAX)):
            pool = self._pools.get(address) or self._pool(address)
            try:
                connection = pool.acquire(until_s)
            except OUTAGE as error:
                if self._map is None or owner is None or not tries_left or isinstance(error, BusyError):
                    raise
                # Nothing was sent, so this is no retry: another node has the slot or knows which one has it.
                self._map.record_failure(owner)
                address, is_asking = self._map.target(owner), False
                continue
            try:
                reply = _exchange(connection, command, until_s - time.monotonic(), is_asking=is_asking)
            except AskError as redirect:
                pool.release(connection)
                # A node that does not know its own address redirects to an empty one: itself.
                new_address = (redirect.host or (address or ("", 0))[0], int(redirect.port))
                is_asking = not isinstance(redirect, MovedError)
                if self._map is not None and not is_asking:
                    self._map.record_move(redirect.slot_id, new_address)
                address = new_address
            except BaseException:
                pool.discard(connection)
                raise
            else:
                pool.release(connection)
                if self._map is not None and address is not None:
                    if address != owner and not is_asking:
                        self._map.record_move(key_slot(command[2]), address)
                    self._map.record_success(address)
                return reply
        raise RedisError(f"the cluster redirected a check {REDIRECTS_MAX} times: its nodes disagree about the slots")

    def _pool(self, address: NodeAddress | None) -> ConnectionPool:
        if address is None:
            return self._pools[None]
        with self._lock:
            if address not in self._pools:
                self._pools[address] = ConnectionPool(lambda: self._make_at(address), self._options.connections)
            return self._pools[address]

    def close(self) -> None:
        """Close all connections."""
        for pool in tuple(self._pools.values()):
            pool.close()


def _exchange(connection: Any, command: tuple[Any, ...], left_s: float, *, is_asking: bool) -> bytes:
    try:
        return _once(connection, (b"EVALSHA", *command), left_s, is_asking=is_asking)
    except NoScriptError:
        # The script did not run, so this is no retry; EVAL loads it for later calls.
        return _once(connection, (b"EVAL", TEXT, *command[1:]), left_s, is_asking=is_asking)


def _once(connection: Any, command: tuple[Any, ...], left_s: float, *, is_asking: bool) -> bytes:
    # The connection's own timeout is the full deadline; changing it costs system calls, so only when much has passed.
    is_late = left_s < _FULL_DEADLINE * connection.socket_timeout
    if is_late:
        # `read_response(timeout=…)` is of redis-py 8.
        connection._sock.settimeout(max(left_s, _TIMEOUT_MIN_S))  # noqa: SLF001
    if is_asking:
        connection.send_command(b"ASKING")
        connection.read_response()
    connection.send_command(*command)
    reply: bytes = connection.read_response()
    if is_late:
        connection._sock.settimeout(connection.socket_timeout)  # noqa: SLF001
    return reply
