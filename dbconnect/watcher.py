"""Looks at every server a few times a second, over connections of its own, in one thread with one event loop.

A thread, so that it serves sync and async routers alike and goes on looking while an event loop is busy; an event
loop in it, so that a server which hangs delays no look at another.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable

import psycopg

from dbconnect.aborting import abort
from dbconnect.errors import UnavailableError
from dbconnect.positions import parse_lsn
from dbconnect.replica_guard import ReplicaGuard
from dbconnect.routes import AsyncConnection, connection_options
from dbconnect.server_record import Sighting
from dbconnect.servers import Server
from dbsql import query

_log = logging.getLogger(__name__)

Listener = Callable[[Server], None]


class Watcher:
    """Feeds a guard until it is stopped."""

    def __init__(
        self,
        guard: ReplicaGuard,
        *,
        on_look: Listener,
        every_s: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            guard: told of every look.
            on_look: called in the watcher's thread after every look, good or bad; returns at once.
            every_s: seconds between two looks at one server.
            clock: monotonic seconds, the same as the readers'.
        """
        self._guard = guard
        self._on_look = on_look
        self._every_s = every_s
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._first_looks = threading.Event()
        self._unseen = 0

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._watch_all(),), name="connect-watcher", daemon=True
        )
        self._thread.start()

    def wait_for_first_looks(self, timeout_s: float) -> bool:
        """Return when every server was looked at once (whatever came of it); False when the time is up."""
        return self._first_looks.wait(timeout_s)

    def stop(self) -> None:
        """End the thread and its connections; returns when they are gone."""
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join(timeout=10)

    async def _watch_all(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        primary = [self._guard.primary] if self._guard.primary is not None else []
        servers = [*primary, *self._guard.replicas]
        self._unseen = len(servers)
        tasks = [asyncio.create_task(self._watch(server), name=server.name) for server in servers]
        for task in tasks:
            task.add_done_callback(_report)
        await self._stopping.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, server: Server) -> None:
        connection: AsyncConnection | None = None
        is_first = True
        try:
            while True:
                started = self._clock()
                try:
                    if connection is None:
                        async with asyncio.timeout(self._guard.limits.check_valid_s):
                            connection = await _connect(server)
                    sighting = await self._look(connection)
                except (psycopg.Error, OSError, TimeoutError, UnavailableError) as error:
                    is_timeout = isinstance(error, TimeoutError)
                    self._guard.missed(server, str(error).strip() or "no answer in time", is_timeout=is_timeout)
                    if connection is not None:
                        await connection.close()
                        connection = None
                else:
                    self._guard.saw(server, sighting)
                self._on_look(server)
                if is_first:
                    is_first = False
                    self._unseen -= 1
                    if self._unseen == 0:
                        self._first_looks.set()
                await asyncio.sleep(max(0.0, self._every_s - (self._clock() - started)))
        finally:
            if connection is not None:
                await connection.close()

    async def _look(self, connection: AsyncConnection) -> Sighting:
        is_hung = False

        def give_up() -> None:
            nonlocal is_hung
            is_hung = True
            abort(connection)

        # Being cancelled, psycopg would ask the server that hangs to cancel, and wait for that.
        timer = asyncio.get_running_loop().call_later(self._guard.limits.check_valid_s, give_up)
        try:
            return await look(connection, self._clock)
        except psycopg.OperationalError:
            if is_hung:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()


async def look(connection: AsyncConnection, clock: Callable[[], float]) -> Sighting:
    """Look at a server once.

    Raises:
        psycopg.Error: it is away, or the role may not ask.
    """
    at = clock()
    beat_at = None
    row = await (await connection.execute(query("dbconnect.watch"))).fetchone()
    if row is None:
        message = "a SELECT over functions gives one row"
        raise AssertionError(message)
    if row["has_heartbeat"]:
        beat = await (await connection.execute(query("dbconnect.heartbeat"))).fetchone()
        beat_at = None if beat is None else beat["beat_at"]
    return Sighting(
        at=at,
        is_in_recovery=row["is_in_recovery"],
        beat_at=beat_at,
        clock_at=row["clock_at"],
        position=None if row["lsn"] is None else parse_lsn(row["lsn"]),
        system_identifier=row["system_identifier"],
        timeline=int(row["timeline_hex"], 16),
        has_heartbeat=row["has_heartbeat"],
    )


async def _connect(server: Server) -> AsyncConnection:
    return await psycopg.AsyncConnection.connect(server.direct_url, **connection_options(f"watch {server.name}"))


def _report(task: asyncio.Task[None]) -> None:
    # Its server counts as unchecked from now on, so reads go elsewhere; somebody has to know why.
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("%s is not watched any more", task.get_name(), exc_info=error)
