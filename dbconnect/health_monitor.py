"""Probe every server a few times a second, over connections of its own, in one thread with one event loop.

A thread, so that it serves sync and async routers alike and keeps polling while an event loop is busy; an event loop in
it, so that a server that hangs delays no poll of another. What the probes mean is decided in `replica_guard`.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable

import psycopg

from dbconnect.errors import UnavailableError
from dbconnect.failures import abort_connection
from dbconnect.lsn import parse_lsn
from dbconnect.replica_guard import ReplicaGuard
from dbconnect.routes import AsyncConnection, Server, connection_options
from dbconnect.server_health import HealthProbe
from dbsql import query

_logger = logging.getLogger(__name__)


class HealthMonitor:
    """Reports probes of every server to a guard until it is stopped."""

    def __init__(
        self,
        guard: ReplicaGuard,
        *,
        on_poll: Callable[[Server], None],
        every_s: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up; `start` starts the thread.

        Args:
            guard: receives every probe.
            on_poll: called in the monitor's thread after every poll, successful or not; must return at once.
            every_s: seconds between two polls of one server.
            clock: monotonic seconds, the same as the readers'.
        """
        self._guard = guard
        self._on_poll = on_poll
        self._every_s = every_s
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._first_polls = threading.Event()

    def start(self) -> None:
        """Start polling."""
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(),), name="connect-monitor", daemon=True)
        self._thread.start()

    def wait_for_first_polls(self, timeout_s: float) -> bool:
        """Return True once every server was polled, whatever the result; False after the timeout."""
        return self._first_polls.wait(timeout_s)

    def stop(self) -> None:
        """Stop the thread and close its connections; returns when both are done."""
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join(timeout=10)

    async def poll(self, server: Server, connection: AsyncConnection | None = None) -> AsyncConnection | None:
        """Probe a server once and report the result to the guard.

        Args:
            server: to probe.
            connection: of the last poll; None connects.

        Returns:
            The connection for the next poll; None after a failure.
        """
        try:
            if connection is None:
                async with asyncio.timeout(self._guard.limits.check_valid_s):
                    connection = await psycopg.AsyncConnection.connect(
                        server.direct_url, **connection_options(f"watch {server.name}")
                    )
            self._guard.record_probe(server, await self._probe_in_time(connection))
        except (psycopg.Error, OSError, TimeoutError, UnavailableError) as error:
            is_timeout = isinstance(error, TimeoutError)
            self._guard.record_failure(server, str(error).strip() or "no answer in time", is_timeout=is_timeout)
            if connection is not None:
                await connection.close()
            return None
        return connection

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        servers = self._guard.servers
        pending = {server.name for server in servers}
        tasks = [asyncio.create_task(self._poll_repeatedly(server, pending), name=server.name) for server in servers]
        for task in tasks:
            task.add_done_callback(_log_failure)
        await self._stopping.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll_repeatedly(self, server: Server, pending: set[str]) -> None:
        connection: AsyncConnection | None = None
        try:
            while True:
                started_at = self._clock()
                connection = await self.poll(server, connection)
                self._on_poll(server)
                pending.discard(server.name)
                if not pending:
                    self._first_polls.set()
                await asyncio.sleep(max(0.0, self._every_s - (self._clock() - started_at)))
        finally:
            if connection is not None:
                await connection.close()

    async def _probe_in_time(self, connection: AsyncConnection) -> HealthProbe:
        is_hung = False

        def give_up() -> None:
            nonlocal is_hung
            is_hung = True
            abort_connection(connection)

        # On cancellation psycopg would ask the hanging server to cancel, and wait for its answer.
        timer = asyncio.get_running_loop().call_later(self._guard.limits.check_valid_s, give_up)
        try:
            return await _probe(connection, self._clock)
        except psycopg.OperationalError:
            if is_hung:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()


async def _probe(connection: AsyncConnection, clock: Callable[[], float]) -> HealthProbe:
    at = clock()
    heartbeat_at = None
    row = await (await connection.execute(query("dbconnect.watch"))).fetchone()
    if row is None:
        message = "a SELECT over functions returns one row"
        raise AssertionError(message)
    if row["has_heartbeat"]:
        heartbeat = await (await connection.execute(query("dbconnect.heartbeat"))).fetchone()
        heartbeat_at = None if heartbeat is None else heartbeat["beat_at"]
    return HealthProbe(
        at=at,
        is_in_recovery=row["is_in_recovery"],
        heartbeat_at=heartbeat_at,
        clock_at=row["clock_at"],
        position=None if row["lsn"] is None else parse_lsn(row["lsn"]),
        system_identifier=row["system_identifier"],
        timeline=int(row["timeline_hex"], 16),
        has_heartbeat=row["has_heartbeat"],
    )


def _log_failure(task: asyncio.Task[None]) -> None:
    # Its server counts as unchecked from now on, so reads go elsewhere; the log has to say why.
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.error("%s is not monitored any more", task.get_name(), exc_info=error)
