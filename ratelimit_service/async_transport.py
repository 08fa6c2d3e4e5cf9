"""Send script calls to Redis from an event loop; calls that arrive together go as one script call."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import redis.asyncio
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError

from ratelimit_service.backoff import CircuitBreaker
from ratelimit_service.calls import Call, batches, join, split
from ratelimit_service.cluster_map import Address, ClusterMap
from ratelimit_service.options import Options
from ratelimit_service.redis_clients import connection_maker, connection_settings, is_cluster
from ratelimit_service.script import SHA, TEXT
from ratelimit_service.transport import OUTAGE, REDIRECTS_MAX, STALE_S, BusyError, CircuitOpenError

_IN_FLIGHT_MAX = 4


class AsyncTransport:
    """Batched script calls with a redis-py asyncio client's settings, for one event loop at a time.

    Args:
        client: any asyncio redis-py client; a cluster client is initialised on first use.
        options: deadline, batch size, connections, circuit breakers.
        clock: monotonic seconds, for the breakers.

    Attributes:
        observe: called with the seconds of each answered round trip.
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
        self._semaphores: dict[Address | None, asyncio.Semaphore] = {}
        self._breakers: dict[Address | None, CircuitBreaker] = {}
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
            self._make: Callable[[Any], Any] = lambda address: kind(host=address[0], port=address[1], **settings)
        else:
            make_one = connection_maker(client, options.deadline_s)
            self._make = lambda _: make_one()

    def open_circuits(self) -> int:
        """Return the number of open circuit breakers."""
        return sum(breaker.is_open for breaker in tuple(self._breakers.values()))

    def submit(self, call: Call) -> asyncio.Future[bytes]:
        """Send a call with the next batch.

        Returns:
            A future of its part of the reply. It raises as `Transport.call`, within the deadline.

        Raises:
            CircuitOpenError: the call was not sent.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # Another loop (a second asyncio.run): the state of the first one is useless here.
            self._loop, self._pending, self._idle, self._is_flush_due = loop, [], {}, False
            self._running, self._semaphores = set(), {}
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
        """Send calls from any thread, ignoring the replies. Without a running loop they are not sent."""
        loop = self._loop
        if calls and loop is not None and loop.is_running():
            for call in calls:
                loop.call_soon_threadsafe(self._submit_ignored, call)

    def _submit_ignored(self, call: Call) -> None:
        with suppress(CircuitOpenError):
            self.submit(call).add_done_callback(_ignore)

    def _breaker(self, owner: Address | None) -> CircuitBreaker:
        if owner not in self._breakers:
            self._breakers[owner] = CircuitBreaker(self._options.breaker_threshold, self._options.breaker_open_s)
        return self._breakers[owner]

    def _semaphore(self, owner: Address | None) -> asyncio.Semaphore:
        if owner not in self._semaphores:
            self._semaphores[owner] = asyncio.Semaphore(self._options.connections)
        return self._semaphores[owner]

    def _owner(self, call: Call) -> Address | None:
        return self._map.owner(call.keys[0]) if self._map is not None else None

    def _flush(self) -> None:
        self._is_flush_due = False
        pending, self._pending = self._pending, []
        slot = (lambda item: key_slot(item[0].keys[0])) if self.is_cluster else None
        for batch in batches(pending, slot, self._options.batch):
            task = asyncio.ensure_future(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._pending and not self._is_flush_due:
            self._flush()

    async def _run(self, batch: Sequence[tuple[Call, asyncio.Future[bytes]]]) -> None:
        calls, futures = [call for call, _ in batch], [future for _, future in batch]
        owner = self._owner(calls[0])
        is_waiting = False
        try:
            async with asyncio.timeout(self._options.deadline_s):
                await self._load_cluster_map()
                owner = self._owner(calls[0])
                keys, requests = join(calls)
                is_waiting = True
                async with self._semaphore(owner):
                    is_waiting = False
                    started_s = time.monotonic()
                    reply = await self._send(owner, (SHA, len(keys), *keys, *requests))
        except asyncio.CancelledError:
            self._fail(futures, RedisError("the event loop is shutting down"))
            raise
        except OUTAGE as error:
            if is_waiting:
                self._fail(futures, BusyError(f"all {self._options.connections} connections were in use"))
                return
            self._breaker(owner).record_failure(self._clock())
            if self._map is not None and owner is not None:
                self._map.record_failure(owner)
            self._fail(futures, error)
            # Calls queued meanwhile have waited as long; they were never sent, and must not wait for another deadline.
            queue, self._pending = self._pending, []
            self._fail([future for _, future in queue], BusyError("queued behind a call that failed"))
            return
        except BaseException as error:
            # Whatever the error, no caller may be left waiting.
            self._fail(futures, error)
            raise
        self._breaker(owner).record_success()
        self.observe(time.monotonic() - started_s)
        for future, part in zip(futures, split(calls, reply), strict=True):
            if not future.done():
                future.set_result(part)

    @staticmethod
    def _fail(futures: list[asyncio.Future[bytes]], error: BaseException) -> None:
        for future in futures:
            if not future.done():
                future.set_exception(error)

    async def _load_cluster_map(self) -> None:
        if not isinstance(self._client, redis.asyncio.RedisCluster) or self._map is not None:
            return
        await self._client.initialize()
        if self._map is not None:
            # Another first call was quicker; building the map takes milliseconds.
            return
        self._map = ClusterMap.of_nodes(self._client.nodes_manager.slots_cache, self._client.get_nodes())

    async def _send(self, owner: Address | None, command: tuple[Any, ...]) -> bytes:
        address = owner if self._map is None or owner is None else self._map.target(owner)
        is_asking = False
        for tries_left in reversed(range(REDIRECTS_MAX)):
            try:
                connection = await self._acquire(address)
            except OUTAGE:
                if self._map is None or owner is None or not tries_left:
                    raise
                # Nothing was sent, so this is no retry: another node has the slot or knows which one has it.
                self._map.record_failure(owner)
                address, is_asking = self._map.target(owner), False
                continue
            try:
                reply = await _exchange(connection, command, is_asking=is_asking)
            except AskError as redirect:
                self._release(address, connection)
                new_address = (redirect.host or (address or ("", 0))[0], int(redirect.port))
                is_asking = not isinstance(redirect, MovedError)
                if self._map is not None and not is_asking:
                    self._map.record_move(redirect.slot_id, new_address)
                address = new_address
            except BaseException:
                await connection.disconnect(nowait=True)
                await self._drop_idle(address)
                raise
            else:
                self._release(address, connection)
                if self._map is not None and address is not None:
                    if address != owner and not is_asking:
                        self._map.record_move(key_slot(command[2]), address)
                    self._map.record_success(address)
                return reply
        raise RedisError(f"the cluster redirected a check {REDIRECTS_MAX} times: its nodes disagree about the slots")

    async def _acquire(self, address: Address | None) -> Any:
        idle = self._idle.setdefault(address, deque())
        connection, since_s = idle.pop() if idle else (self._make(address), 0.0)
        if since_s and time.monotonic() - since_s < STALE_S:
            return connection
        try:
            if since_s and await connection.can_read():
                await connection.disconnect(nowait=True)
            await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            await self._drop_idle(address)
            raise
        return connection

    def _release(self, address: Address | None, connection: Any) -> None:
        self._idle.setdefault(address, deque()).append((connection, time.monotonic()))

    async def _drop_idle(self, address: Address | None) -> None:
        idle = self._idle.get(address)
        while idle:
            await idle.pop()[0].disconnect(nowait=True)

    async def aclose(self) -> None:
        """Wait for running calls, then close all connections."""
        if self._loop is asyncio.get_running_loop():
            if self._running:
                await asyncio.wait(tuple(self._running))
            for address in tuple(self._idle):
                await self._drop_idle(address)
        self._idle.clear()


async def _exchange(connection: Any, command: tuple[Any, ...], *, is_asking: bool) -> bytes:
    try:
        return await _once(connection, (b"EVALSHA", *command), is_asking=is_asking)
    except NoScriptError:
        # The script did not run, so this is no retry; EVAL loads it for later calls.
        return await _once(connection, (b"EVAL", TEXT, *command[1:]), is_asking=is_asking)


async def _once(connection: Any, command: tuple[Any, ...], *, is_asking: bool) -> bytes:
    if is_asking:
        await connection.send_command(b"ASKING")
        await connection.read_response()
    await connection.send_command(*command)
    reply: bytes = await connection.read_response()
    return reply


def _ignore(future: asyncio.Future[bytes]) -> None:
    # Reading the error marks it as retrieved; units that were not refunded drain like used ones.
    if not future.cancelled():
        future.exception()
