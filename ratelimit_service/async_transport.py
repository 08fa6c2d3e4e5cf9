"""The async way to Redis. Calls that arrive together go as one script call; what can't wait any longer is failed."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any

import redis.asyncio
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError

from ratelimit_service.batching import groups, join, split
from ratelimit_service.breaker import Breaker
from ratelimit_service.cluster_map import Address, ClusterMap
from ratelimit_service.core import Call
from ratelimit_service.options import Options
from ratelimit_service.redis_clients import connection_maker, connection_settings, is_cluster
from ratelimit_service.script import SHA, TEXT
from ratelimit_service.transport import OUTAGE, REDIRECTS_MAX, BusyError, CircuitOpenError

_STALE_S = 1.0
_IN_FLIGHT_MAX = 4


class AsyncTransport:
    """Micro-batching script calls over a redis-py asyncio client's settings. Belongs to the event loop that runs it.

    Args:
        client: any asyncio redis-py client; a cluster client is initialised on first use.
        options: deadline, batch size, connections, breaker.
        clock: monotonic seconds, for the breakers.

    Attributes:
        observe: told the seconds of each answered round trip.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis | redis.asyncio.RedisCluster,
        options: Options,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._clock = clock
        self.observe: Callable[[float], None] = lambda _: None
        self._client = client
        self._pending: list[tuple[Call, asyncio.Future[bytes]]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_flush_due = False
        self._idle: dict[Address | None, deque[tuple[Any, float]]] = {}
        self._rooms: dict[Address | None, asyncio.Semaphore] = {}
        self._breakers: dict[Address | None, Breaker] = {}
        self._map: ClusterMap | None = None
        self.is_cluster = is_cluster(client)
        retry: Any = Retry(NoBackoff(), 0)
        if isinstance(client, redis.asyncio.RedisCluster):
            kind = SSLConnection if client.connection_kwargs.get("connection_class") is SSLConnection else Connection
            settings = connection_settings(
                client.connection_kwargs,
                timeout_s=None,
                connect_s=options.deadline_s,
                retry=retry,
            )
            self._make: Callable[[Any], Any] = lambda at: kind(host=at[0], port=at[1], **settings)
        else:
            make_one = connection_maker(client, options.deadline_s)
            self._make = lambda _: make_one()

    def open_circuits(self) -> int:
        """How many breakers are open."""
        return sum(breaker.is_open for breaker in tuple(self._breakers.values()))

    @staticmethod
    def _slot(sent: tuple[Call, asyncio.Future[bytes]]) -> Hashable:
        return key_slot(sent[0].keys[0])

    def submit(self, call: Call) -> asyncio.Future[bytes]:
        """Send a call with the next batch.

        Returns:
            Its part of the reply. Raises as `Transport.call`, within the deadline.

        Raises:
            CircuitOpenError: it was not sent, and there is nothing to wait for.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # Another loop (a second asyncio.run): what belonged to the first is gone with it.
            self._loop, self._pending, self._idle, self._is_flush_due = loop, [], {}, False
            self._running, self._rooms = set(), {}
        breaker = self._breakers.get(None if self._map is None else self._owner(call))
        if breaker is not None and breaker.is_open and not breaker.allows(self._clock()):
            raise CircuitOpenError("the circuit breaker is open")
        future: asyncio.Future[bytes] = loop.create_future()
        self._pending.append((call, future))
        if not self._is_flush_due and len(self._running) < _IN_FLIGHT_MAX:
            self._is_flush_due = True
            loop.call_soon(self._flush)
        return future

    def submit_later(self, calls: Sequence[Call]) -> None:
        """Send calls whose answers nobody waits for; from any thread. Without a running loop they are not sent."""
        loop = self._loop
        if calls and loop is not None and loop.is_running():
            for call in calls:
                loop.call_soon_threadsafe(self._submit_ignored, call)

    def _submit_ignored(self, call: Call) -> None:
        with suppress(CircuitOpenError):
            self.submit(call).add_done_callback(_ignore)

    def _breaker(self, owner: Address | None) -> Breaker:
        breaker = self._breakers.get(owner)
        if breaker is None:
            breaker = self._breakers[owner] = Breaker(self._options.breaker_threshold, self._options.breaker_open_s)
        return breaker

    def _room(self, owner: Address | None) -> asyncio.Semaphore:
        room = self._rooms.get(owner)
        if room is None:
            room = self._rooms[owner] = asyncio.Semaphore(self._options.connections)
        return room

    def _owner(self, call: Call) -> Address | None:
        return self._map.owner(call.keys[0]) if self._map is not None else None

    def _flush(self) -> None:
        self._is_flush_due = False
        pending, self._pending = self._pending, []
        for batch in groups(pending, self._slot if self.is_cluster else None, self._options.batch):
            task = asyncio.ensure_future(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._pending and not self._is_flush_due:
            self._flush()

    async def _run(self, batch: Sequence[tuple[Call, asyncio.Future[bytes]]]) -> None:
        calls, futures = [call for call, _ in batch], [future for _, future in batch]
        owner = self._owner(calls[0])
        is_waiting = False
        try:
            async with asyncio.timeout(self._options.deadline_s):
                await self._know_cluster()
                owner = self._owner(calls[0])
                keys, requests = join(calls)
                is_waiting = True
                async with self._room(owner):
                    is_waiting = False
                    began_s = time.monotonic()
                    reply = await self._send(owner, (SHA, len(keys), *keys, *requests))
        except asyncio.CancelledError:
            self._fail(futures, RedisError("the event loop is shutting down"))
            raise
        except OUTAGE as error:
            if is_waiting:
                self._fail(futures, BusyError(f"all {self._options.connections} connections were in use"))
                return
            self._breaker(owner).failed(self._clock())
            if self._map is not None and owner is not None:
                self._map.failed(owner)
            self._fail(futures, error)
            # What waited meanwhile has waited for as long: it was never sent, and is not worth another deadline.
            late, self._pending = self._pending, []
            self._fail([future for _, future in late], BusyError("queued behind a call that failed"))
            return
        except BaseException as error:
            # Whatever it is, nobody may be left waiting for an answer that can't come.
            self._fail(futures, error)
            raise
        self._breaker(owner).succeeded()
        self.observe(time.monotonic() - began_s)
        for future, part in zip(futures, split(calls, reply), strict=True):
            if not future.done():
                future.set_result(part)

    @staticmethod
    def _fail(futures: list[asyncio.Future[bytes]], error: BaseException) -> None:
        for future in futures:
            if not future.done():
                future.set_exception(error)

    async def _know_cluster(self) -> None:
        if not isinstance(self._client, redis.asyncio.RedisCluster) or self._map is not None:
            return
        await self._client.initialize()
        if self._map is not None:
            # Of the calls that came first, another one was quicker; 16,384 slots take milliseconds.
            return
        nodes = self._client.nodes_manager.slots_cache
        slots = [(slot, (str(at[0].host), int(at[0].port))) for slot, at in nodes.items()]
        self._map = ClusterMap(slots, [(str(node.host), int(node.port)) for node in self._client.get_nodes()])

    async def _send(self, owner: Address | None, command: tuple[Any, ...]) -> bytes:
        at = owner if self._map is None or owner is None else self._map.ask(owner)
        is_asking = False
        for tries_left in reversed(range(REDIRECTS_MAX)):
            try:
                connection = await self._take(at)
            except OUTAGE:
                if self._map is None or owner is None or not tries_left:
                    raise
                # Nothing was sent, so this is not a replay: another node knows who has the slot now, or has it.
                self._map.failed(owner)
                at, is_asking = self._map.ask(owner), False
                continue
            try:
                reply = await _exchange(connection, command, is_asking=is_asking)
            except AskError as redirect:
                self._give(at, connection)
                to = (redirect.host or (at or ("", 0))[0], int(redirect.port))
                is_asking = not isinstance(redirect, MovedError)
                if self._map is not None and not is_asking:
                    self._map.moved(redirect.slot_id, to)
                at = to
            except BaseException:
                await connection.disconnect(nowait=True)
                await self._drop_idle(at)
                raise
            else:
                self._give(at, connection)
                if self._map is not None and at is not None:
                    if at != owner and not is_asking:
                        self._map.moved(key_slot(command[2]), at)
                    self._map.answered(at)
                return reply
        raise RedisError(f"the cluster redirected a check {REDIRECTS_MAX} times; its nodes do not agree on its slots")

    async def _take(self, at: Address | None) -> Any:
        idle = self._idle.setdefault(at, deque())
        connection, since_s = idle.pop() if idle else (self._make(at), 0.0)
        if since_s and time.monotonic() - since_s < _STALE_S:
            return connection
        try:
            if since_s and await connection.can_read():
                await connection.disconnect(nowait=True)
            await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            await self._drop_idle(at)
            raise
        return connection

    def _give(self, at: Address | None, connection: Any) -> None:
        self._idle.setdefault(at, deque()).append((connection, time.monotonic()))

    async def _drop_idle(self, at: Address | None) -> None:
        idle = self._idle.get(at)
        while idle:
            await idle.pop()[0].disconnect(nowait=True)

    async def aclose(self) -> None:
        """Wait for what is on its way, then close all connections."""
        if self._loop is asyncio.get_running_loop():
            if self._running:
                await asyncio.wait(tuple(self._running))
            for at in tuple(self._idle):
                await self._drop_idle(at)
        self._idle.clear()


async def _exchange(connection: Any, command: tuple[Any, ...], *, is_asking: bool) -> bytes:
    try:
        return await _once(connection, (b"EVALSHA", *command), is_asking=is_asking)
    except NoScriptError:
        # Nothing was executed, so this is not a replay; EVAL loads the script for those to come.
        return await _once(connection, (b"EVAL", TEXT, *command[1:]), is_asking=is_asking)


async def _once(connection: Any, command: tuple[Any, ...], *, is_asking: bool) -> bytes:
    if is_asking:
        await connection.send_command(b"ASKING")
        await connection.read_response()
    await connection.send_command(*command)
    reply: bytes = await connection.read_response()
    return reply


def _ignore(future: asyncio.Future[bytes]) -> None:
    # Asking for the error marks it as seen; the call was a courtesy, and units not given back drain by themselves.
    if not future.cancelled():
        future.exception()
