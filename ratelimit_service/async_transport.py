"""Send script calls to Redis from event loops; calls that arrive together go as one script call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from typing import Any

import redis.asyncio
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError

from ratelimit_service.async_connections import AsyncConnectionPool
from ratelimit_service.backoff import CircuitBreaker
from ratelimit_service.calls import Call, batches, join, split
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
from ratelimit_service.transport import CONNECT_MAX_S, OUTAGE, REDIRECTS_MAX, BusyError, CircuitOpenError

_IN_FLIGHT_MAX = 4


class AsyncTransport:
    """Batched script calls with a redis-py asyncio client's settings, from any number of event loops at once.

    Circuit breakers and the cluster's map are common; connections and queues are each loop's own.

    Args:
        client: any asyncio redis-py client.
        options: deadline, batch size, connections, circuit breakers.
        clock: monotonic seconds, for the breakers.

    Attributes:
        observe: called with the seconds of each answered round trip.
        cluster_map: the cluster's slots and nodes; None until they are read, and without a cluster.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis | redis.asyncio.RedisCluster,
        options: Options,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_client(client, is_async=True)
        self.options = options
        self.clock = clock
        self.observe: Callable[[float], None] = lambda _: None
        self.cluster_map: ClusterMap | None = None
        self.is_cluster = is_cluster(client)
        self._loops: dict[asyncio.AbstractEventLoop, _LoopTransport] = {}
        self._breakers: dict[NodeAddress | None, CircuitBreaker] = {}
        if isinstance(client, redis.asyncio.RedisCluster):
            self.cluster_nodes = client.nodes_manager
            kind: Any = client.connection_kwargs.get("connection_class", Connection)
            settings = connection_settings(
                client.connection_kwargs,
                timeout_s=None,
                connect_s=CONNECT_MAX_S,
                retry=Retry(NoBackoff(), 0),
            )
            accepted = accepted_settings(kind, settings)
            self.make: Callable[[Any], Any] = lambda address: kind(host=address[0], port=address[1], **accepted)
        else:
            make_one = connection_maker(client, options.deadline_s, CONNECT_MAX_S)
            self.make = lambda _: make_one()

    def open_circuits(self) -> int:
        """Return the number of open circuit breakers."""
        return sum(breaker.is_open for breaker in tuple(self._breakers.values()))

    def breaker(self, owner: NodeAddress | None) -> CircuitBreaker:
        """Return a server's circuit breaker."""
        return self._breakers.get(owner) or self._breakers.setdefault(
            owner, CircuitBreaker(self.options.breaker_threshold, self.options.breaker_open_s)
        )

    def owner(self, call: Call) -> NodeAddress | None:
        """Return the cluster node that has the call's keys, as far as is known; None without a cluster."""
        return self.cluster_map.owner(call.keys[0]) if self.cluster_map is not None else None

    def submit(self, call: Call) -> asyncio.Future[bytes]:
        """Send a call with the next batch of the running loop.

        Returns:
            A future of its part of the reply. It raises as `Transport.call`, within the deadline.

        Raises:
            CircuitOpenError: the call was not sent.
        """
        breaker = self._breakers.get(None if self.cluster_map is None else self.owner(call))
        if breaker is not None and breaker.is_open and not breaker.allows(self.clock()):
            raise CircuitOpenError("the circuit breaker is open")
        loop = asyncio.get_running_loop()
        return (self._loops.get(loop) or self._enter(loop)).submit(call)

    def _enter(self, loop: asyncio.AbstractEventLoop) -> _LoopTransport:
        for other in tuple(self._loops):
            if other.is_closed():
                self._loops.pop(other, None)
        return self._loops.setdefault(loop, _LoopTransport(self, loop))

    def submit_later(self, calls: Sequence[Call]) -> None:
        """Send calls from any thread, ignoring the replies. Without a running loop they are not sent."""
        for loop in tuple(self._loops):
            if calls and loop.is_running():
                with suppress(RuntimeError):  # closed since
                    loop.call_soon_threadsafe(self._submit_ignored, calls)
                    return

    def _submit_ignored(self, calls: Sequence[Call]) -> None:
        for call in calls:
            with suppress(CircuitOpenError):
                self.submit(call).add_done_callback(_ignore)

    async def aclose(self) -> None:
        """Wait for the running loop's calls, then close its connections; other loops close theirs as they end."""
        transport = self._loops.pop(asyncio.get_running_loop(), None)
        if transport is not None:
            await transport.aclose()


class _LoopTransport:
    def __init__(self, common: AsyncTransport, loop: asyncio.AbstractEventLoop) -> None:
        self._common = common
        self._options = common.options
        self._loop = loop
        self._pending: list[tuple[Call, asyncio.Future[bytes]]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._is_flush_due = False
        self._pools: dict[NodeAddress | None, AsyncConnectionPool] = {}
        self._map_task: asyncio.Task[None] | None = None
        # A loop that ends closes its async generators, and this one the connections.
        self._lifetime = self._live()
        with suppress(StopIteration):
            next(self._lifetime.__anext__().__await__())

    async def _live(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            for pool in self._pools.values():
                await pool.aclose()

    def submit(self, call: Call) -> asyncio.Future[bytes]:
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._pending.append((call, future))
        if not self._is_flush_due and len(self._running) < _IN_FLIGHT_MAX:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
        return future

    async def aclose(self) -> None:
        while self._running or self._pending:
            # Calls that were submitted last go with a batch that is not begun yet.
            await (asyncio.wait(tuple(self._running)) if self._running else asyncio.sleep(0))
        if self._map_task is not None:
            self._map_task.cancel()
        await self._lifetime.aclose()

    def _flush(self) -> None:
        self._is_flush_due = False
        pending, self._pending = self._pending, []
        slot = (lambda item: key_slot(item[0].keys[0])) if self._common.is_cluster else None
        for batch in batches(pending, slot, self._options.batch):
            task = self._loop.create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._pending and not self._is_flush_due:
            self._flush()

    async def _run(self, batch: Sequence[tuple[Call, asyncio.Future[bytes]]]) -> None:
        common = self._common
        calls, futures = [call for call, _ in batch], [future for _, future in batch]
        owner = common.owner(calls[0])
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(self._options.deadline_s):
                if common.is_cluster and common.cluster_map is None:
                    await self._load_cluster_map()
                    owner = common.owner(calls[0])
                keys, requests = join(calls)
                reply = await self._send(owner, (SHA, len(keys), *keys, *requests))
        except asyncio.CancelledError:
            self._fail(futures, RedisError("the event loop is shutting down"))
            raise
        except BusyError as error:
            self._fail(futures, error)
            return
        except OUTAGE as error:
            common.breaker(owner).record_failure(common.clock())
            if common.cluster_map is not None and owner is not None:
                common.cluster_map.record_failure(owner)
            self._fail(futures, error)
            # Calls queued meanwhile have waited as long; they were never sent, and must not wait for another deadline.
            queue, self._pending = self._pending, []
            self._fail([future for _, future in queue], BusyError("queued behind a call that failed"))
            return
        except BaseException as error:
            # Whatever the error, no caller may be left waiting.
            self._fail(futures, error)
            raise
        common.breaker(owner).record_success()
        common.observe(time.monotonic() - started_s)
        for future, part in zip(futures, split(calls, reply), strict=True):
            if not future.done():
                future.set_result(part)

    @staticmethod
    def _fail(futures: list[asyncio.Future[bytes]], error: BaseException) -> None:
        for future in futures:
            if not future.done():
                future.set_exception(error)

    async def _load_cluster_map(self) -> None:
        # In a task of its own, which outlives the check that began it.
        if self._map_task is None or self._map_task.done():
            self._map_task = self._loop.create_task(self._read_cluster_map())
            self._map_task.add_done_callback(_ignore)
        await asyncio.shield(self._map_task)

    async def _read_cluster_map(self) -> None:
        common = self._common
        failure: BaseException = RedisError("the cluster client names no node")
        for node in tuple(common.cluster_nodes.startup_nodes.values()):
            address = (str(node.host), int(node.port))
            pool = self._pool(address)
            try:
                connection = await pool.acquire()
                try:
                    reply = await _command(connection, b"CLUSTER", b"SLOTS")
                except BaseException:
                    await pool.discard(connection)
                    raise
            except OUTAGE as error:
                failure = error
                continue
            pool.release(connection)
            if common.cluster_map is None:
                common.cluster_map = ClusterMap.of_reply(reply, address, common.cluster_nodes.address_remap)
            return
        raise failure

    async def _send(self, owner: NodeAddress | None, command: tuple[Any, ...]) -> bytes:
        cluster_map = self._common.cluster_map
        address = owner if cluster_map is None or owner is None else cluster_map.target(owner)
        is_asking = False
        for tries_left in reversed(range(REDIRECTS_MAX)):
            pool = self._pool(address)
            try:
                connection = await self._acquire(pool)
            except OUTAGE as error:
                if cluster_map is None or owner is None or not tries_left or isinstance(error, BusyError):
                    raise
                # Nothing was sent, so this is no retry: another node has the slot or knows which one has it.
                cluster_map.record_failure(owner)
                address, is_asking = cluster_map.target(owner), False
                continue
            try:
                reply = await _exchange(connection, command, is_asking=is_asking)
            except AskError as redirect:
                pool.release(connection)
                new_address = (redirect.host or (address or ("", 0))[0], int(redirect.port))
                is_asking = not isinstance(redirect, MovedError)
                if cluster_map is not None and not is_asking:
                    cluster_map.record_move(redirect.slot_id, new_address)
                address = new_address
            except BaseException:
                await pool.discard(connection)
                raise
            else:
                pool.release(connection)
                if cluster_map is not None and address is not None:
                    if address != owner and not is_asking:
                        cluster_map.record_move(key_slot(command[2]), address)
                    cluster_map.record_success(address)
                return reply
        raise RedisError(f"the cluster redirected a check {REDIRECTS_MAX} times: its nodes disagree about the slots")

    async def _acquire(self, pool: AsyncConnectionPool) -> Any:
        try:
            return await pool.acquire()
        except asyncio.CancelledError:
            if pool.is_full:
                raise BusyError(f"all {self._options.connections} connections were in use until the deadline") from None
            raise

    def _pool(self, address: NodeAddress | None) -> AsyncConnectionPool:
        if address not in self._pools:
            self._pools[address] = AsyncConnectionPool(lambda: self._common.make(address), self._options)
        return self._pools[address]


async def _exchange(connection: Any, command: tuple[Any, ...], *, is_asking: bool) -> bytes:
    try:
        return await _once(connection, (b"EVALSHA", *command), is_asking=is_asking)
    except NoScriptError:
        # The script did not run, so this is no retry; EVAL loads it for later calls.
        return await _once(connection, (b"EVAL", TEXT, *command[1:]), is_asking=is_asking)


async def _once(connection: Any, command: tuple[Any, ...], *, is_asking: bool) -> bytes:
    if is_asking:
        await _command(connection, b"ASKING")
    reply: bytes = await _command(connection, *command)
    return reply


async def _command(connection: Any, *command: Any) -> Any:
    await connection.send_command(*command)
    return await connection.read_response()


def _ignore(future: asyncio.Future[Any]) -> None:
    # Reading the error marks it as retrieved; units that were not refunded drain like used ones.
    if not future.cancelled():
        future.exception()
