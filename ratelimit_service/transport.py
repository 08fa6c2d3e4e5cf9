"""The sync way to Redis: connections that wait to be free and a script call that is sent once."""

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

from ratelimit_service.breaker import Breaker
from ratelimit_service.cluster_map import Address, ClusterMap
from ratelimit_service.options import Options
from ratelimit_service.redis_clients import connection_maker, connection_settings, is_cluster
from ratelimit_service.script import SHA, TEXT

OUTAGE = (RedisError, OSError)
"""What a round trip may raise; every one of these becomes a degraded decision."""
REDIRECTS_MAX = 5
_STALE_S = 1.0
_LEAST_S = 0.001
_MOST_OF_IT = 0.9


class CircuitOpenError(RedisError):
    """Redis was not asked: it failed too often just now."""


class BusyError(RedisError):
    """Redis was not asked: all connections were in use until the deadline."""


class ConnectionStash:
    """Connections to one server, handed out newest first; at its size it waits instead of raising.

    Args:
        make: makes an unconnected redis-py connection.
        size: the most connections.
    """

    def __init__(self, make: Callable[[], Any], size: int) -> None:
        self._make = make
        self._size = size
        self._idle: deque[tuple[Any, float]] = deque()
        self._made = 0
        self._waiting = 0
        self._freed = threading.Condition()
        os.register_at_fork(after_in_child=_forgetter(weakref.ref(self)))

    def take(self, until_s: float) -> Any:
        """A connection that is open, as far as its socket tells.

        Raises:
            BusyError: none was free by `until_s`, a monotonic time.
            RedisError, OSError: a new one could not be opened.
        """
        try:
            connection, since_s = self._idle.pop()
        except IndexError:
            connection, since_s = self._wait(until_s)
        if since_s and time.monotonic() - since_s < _STALE_S:
            return connection
        try:
            if since_s and connection.can_read():
                connection.disconnect()
            connection.socket_connect_timeout = max(until_s - time.monotonic(), _LEAST_S)
            connection.connect()
        except BaseException:
            self.drop(connection)
            raise
        return connection

    def _wait(self, until_s: float) -> tuple[Any, float]:
        with self._freed:
            self._waiting += 1
            try:
                # Looked at again under the count: whoever frees one from here on sees that somebody waits.
                while not self._idle and self._made >= self._size:
                    if not self._freed.wait(until_s - time.monotonic()):
                        raise BusyError(f"all {self._size} connections were in use until the deadline")
                if self._idle:
                    return self._idle.pop()
                self._made += 1
            finally:
                self._waiting -= 1
        return self._make(), 0.0

    def give(self, connection: Any) -> None:
        """Put a healthy connection back."""
        self._idle.append((connection, time.monotonic()))
        if self._waiting:
            with self._freed:
                self._freed.notify()

    def drop(self, connection: Any) -> None:
        """Close a connection that failed, and all idle ones with it: what broke it broke them too, most likely."""
        connection.disconnect()
        with self._freed:
            self._made -= 1
            self._freed.notify()
        self.close()

    def close(self) -> None:
        """Close the idle connections. The stash can go on being used."""
        while True:
            try:
                connection, _ = self._idle.pop()
            except IndexError:
                return
            with self._freed:
                self._made -= 1
                self._freed.notify()
            connection.disconnect()

    def forget(self) -> None:
        """In a forked child: leave the parent's connections alone."""
        self._idle.clear()
        self._made = 0
        self._waiting = 0
        self._freed = threading.Condition()


def _forgetter(stash: weakref.ref[ConnectionStash]) -> Callable[[], None]:
    def forget() -> None:
        if (alive := stash()) is not None:
            alive.forget()

    return forget


class Transport:
    """Script calls over a redis-py client's settings: a single server, Sentinel's master, or a cluster.

    Args:
        client: any sync redis-py client.
        options: deadline, connections, breaker.
        clock: monotonic seconds, for the breakers; deadlines are the sockets' and can't be moved.
    """

    def __init__(
        self,
        client: redis.Redis | redis.RedisCluster,
        options: Options,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._clock = clock
        self._stashes: dict[Address | None, ConnectionStash] = {}
        self._breakers: dict[Address | None, Breaker] = {}
        self._lock = threading.Lock()
        self._map: ClusterMap | None = None
        self.is_cluster = is_cluster(client)
        if isinstance(client, redis.RedisCluster):
            nodes = client.nodes_manager
            slots = [(slot, (str(at[0].host), int(at[0].port))) for slot, at in nodes.slots_cache.items()]
            self._map = ClusterMap(slots, [(str(node.host), int(node.port)) for node in nodes.nodes_cache.values()])
            kind = redis.SSLConnection if nodes.connection_kwargs.get("ssl") else redis.Connection
            settings = connection_settings(
                _node_settings(client),
                timeout_s=options.deadline_s,
                connect_s=options.deadline_s,
                retry=Retry(NoBackoff(), 0),
            )
            self._make_at: Callable[[Address], Any] = lambda at: kind(host=at[0], port=at[1], **settings)
        else:
            self._stashes[None] = ConnectionStash(connection_maker(client, options.deadline_s), options.connections)
            self._breakers[None] = self._breaker()

    def _breaker(self) -> Breaker:
        return Breaker(self._options.breaker_threshold, self._options.breaker_open_s)

    def open_circuits(self) -> int:
        """How many breakers are open."""
        return sum(breaker.is_open for breaker in tuple(self._breakers.values()))

    def group(self, keys: Sequence[bytes]) -> int | None:
        """What calls must have in common to go in one script call: the cluster slot, where there is one."""
        return None if self._map is None else key_slot(keys[0])

    def call(self, keys: Sequence[bytes], requests: Sequence[bytes]) -> bytes:
        """Run the script once.

        Raises:
            CircuitOpenError: it was not asked.
            RedisError, OSError: no answer, or not a decision; whether it was executed is not known.
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
            breaker.failed(self._clock())
            if self._map is not None and owner is not None:
                self._map.failed(owner)
            raise
        breaker.succeeded()
        return reply

    def _send(self, owner: Address | None, command: tuple[Any, ...]) -> bytes:
        at = owner if self._map is None or owner is None else self._map.ask(owner)
        is_asking = False
        until_s = time.monotonic() + self._options.deadline_s
        for tries_left in reversed(range(REDIRECTS_MAX)):
            stash = self._stashes.get(at) or self._stash(at)
            try:
                connection = stash.take(until_s)
            except OUTAGE as error:
                if self._map is None or owner is None or not tries_left or isinstance(error, BusyError):
                    raise
                # Nothing was sent, so this is not a replay: another node knows who has the slot now, or has it.
                self._map.failed(owner)
                at, is_asking = self._map.ask(owner), False
                continue
            try:
                reply = _exchange(connection, command, until_s - time.monotonic(), is_asking=is_asking)
            except AskError as redirect:
                stash.give(connection)
                # A node that does not know its own address answers with an empty one: it means itself.
                to = (redirect.host or (at or ("", 0))[0], int(redirect.port))
                is_asking = not isinstance(redirect, MovedError)
                if self._map is not None and not is_asking:
                    self._map.moved(redirect.slot_id, to)
                at = to
            except BaseException:
                stash.drop(connection)
                raise
            else:
                stash.give(connection)
                if self._map is not None and at is not None:
                    if at != owner and not is_asking:
                        self._map.moved(key_slot(command[2]), at)
                    self._map.answered(at)
                return reply
        raise RedisError(f"the cluster redirected a check {REDIRECTS_MAX} times; its nodes do not agree on its slots")

    def _stash(self, at: Address | None) -> ConnectionStash:
        if at is None:
            return self._stashes[None]
        with self._lock:
            if at not in self._stashes:
                self._stashes[at] = ConnectionStash(lambda: self._make_at(at), self._options.connections)
            return self._stashes[at]

    def close(self) -> None:
        """Close all connections."""
        for stash in tuple(self._stashes.values()):
            stash.close()


def _node_settings(client: redis.RedisCluster) -> dict[str, Any]:
    node = next(iter(client.nodes_manager.nodes_cache.values()))
    return dict(client.get_redis_connection(node).connection_pool.connection_kwargs)


def _exchange(connection: Any, command: tuple[Any, ...], left_s: float, *, is_asking: bool) -> bytes:
    try:
        return _once(connection, (b"EVALSHA", *command), left_s, is_asking=is_asking)
    except NoScriptError:
        # Nothing was executed, so this is not a replay; EVAL loads the script for those to come.
        return _once(connection, (b"EVAL", TEXT, *command[1:]), left_s, is_asking=is_asking)


def _once(connection: Any, command: tuple[Any, ...], left_s: float, *, is_asking: bool) -> bytes:
    # The connection's own timeout is the whole deadline; setting another costs system calls, so only if much is gone.
    limit = {} if left_s > _MOST_OF_IT * connection.socket_timeout else {"timeout": max(left_s, _LEAST_S)}
    if is_asking:
        connection.send_command(b"ASKING")
        connection.read_response(**limit)
    connection.send_command(*command)
    reply: bytes = connection.read_response(**limit)
    return reply
