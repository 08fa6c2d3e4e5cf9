"""Read-only connections for async code, each on a server that is fresh enough.

router = dbconnect.ReadRouter(dbconnect.load_settings())
async with router, router.read_only(max_staleness_s=2.0, tenant_key=7) as read:
    rows = await (await read.connection.execute("SELECT …")).fetchall()

`tools/async_to_sync` makes `sync_router.py` of this file, for `dbconnect.read_only`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Self, TypeAlias, TypeVar

import psycopg

from dbconnect.async_pool import AsyncServerPool
from dbconnect.errors import NoFreshServerError, UnavailableError
from dbconnect.failures import is_retryable
from dbconnect.read import COMMIT, Read, ReadScope, Statement, opening_script, parse_opening
from dbconnect.read_plan import Answer, ChosenServer, Pause, ReadRequest, TryServer, plan_read
from dbconnect.router_base import FIRST_POLLS_S, RouterBase
from dbconnect.routes import AsyncConnection, Row, Server
from dbconnect.server_health import ReadProbe

Result = TypeVar("Result")
Rows: TypeAlias = list[list[Row]]


class _OpenRead(NamedTuple):
    """A connection on which a read has begun.

    Attributes:
        rows: of the scope's statements; with any, the transaction has ended already.
    """

    pool: AsyncServerPool
    connection: AsyncConnection
    rows: Rows

    async def release(self) -> None:
        await self.pool.release(self.connection)


class ReadRouter(RouterBase[AsyncServerPool]):
    """Hands out read-only transactions: replica first, then the primary within a budget, then stale data, marked as such.

    One per process (and event loop); open it as a context manager, or with `open` and `close`.
    """

    async def open(self) -> None:
        """Open the pools and start the health monitor; returns when each server was polled, or after three seconds.

        A server that is down is no error: the router uses it as soon as it is back.

        Raises:
            ConnectionBudgetError: the pools of all routes don't fit into a server.
        """
        self._loop = asyncio.get_running_loop()
        self._tending: dict[str, Future[None]] = {}
        await asyncio.to_thread(self._check)
        for server in self.guard.servers:
            self._pools[server.name] = AsyncServerPool(server, self._pool_limits(server), self._clock)
            await self._pools[server.name].open()
        self._monitor.start()
        await asyncio.to_thread(self._monitor.wait_for_first_polls, FIRST_POLLS_S)

    async def close(self) -> None:
        """Stop the monitor and close every connection."""
        await asyncio.to_thread(self._monitor.stop)
        for pool in self._pools.values():
            await pool.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @contextlib.asynccontextmanager
    async def read_only(
        self,
        max_staleness_s: float | None = None,
        token: str | None = None,
        tenant_key: int | None = None,
        *,
        allow_stale: bool = True,
    ) -> AsyncIterator[Read[AsyncConnection]]:
        """Open a read-only transaction on a server that is fresh enough, and end it afterwards.

        Args:
            max_staleness_s: maximum age of the data, in seconds [`dashboard_max_staleness_seconds`].
            token: of `commit_token` after a write; the read includes that write.
            tenant_key: whose rows row-level security shows; without it, none.
            allow_stale: take older data, marked `is_stale`, when no server is fresh enough; never older than the token.

        Raises:
            NoFreshServerError: no server can answer; says when to retry.
            TokenError: the token is malformed.
        """
        request = self._request(max_staleness_s, token, allow_stale=allow_stale)
        open_read, server = await self._choose(request, self._scope(tenant_key))
        try:
            yield Read.on(open_read.connection, server)
            # The rows were read already, so a connection that breaks now is no error.
            with contextlib.suppress(psycopg.OperationalError):
                await open_read.connection.execute(COMMIT)
        finally:
            await open_read.release()

    async def run(
        self,
        work: Callable[[Read[AsyncConnection]], Awaitable[Result]],
        *,
        max_staleness_s: float | None = None,
        token: str | None = None,
        tenant_key: int | None = None,
        allow_stale: bool = True,
    ) -> Result:
        """Call `work` in a `read_only` block; once more, in a new block, when its server breaks off.

        Raises:
            NoFreshServerError: see `read_only`.
            psycopg.Error: of `work`; not retryable, or raised twice.
        """
        for is_last in (False, True):
            try:
                async with self.read_only(max_staleness_s, token, tenant_key, allow_stale=allow_stale) as read:
                    return await work(read)
            except psycopg.Error as error:
                if is_last or not is_retryable(error):
                    raise
        raise AssertionError("the second try returns or raises")

    async def ask(
        self,
        statements: Sequence[Statement],
        *,
        max_staleness_s: float | None = None,
        token: str | None = None,
        tenant_key: int | None = None,
        allow_stale: bool = True,
    ) -> Rows:
        """Run statements in one read-only transaction, and return the rows of each.

        Takes one round trip, where a `read_only` block takes three and more; on a busy event loop each costs a whole turn.
        psycopg quotes the parameters into the text (`AsyncClientCursor`). Freshness is judged as in `read_only`, before
        rows are returned. Retried once, as by `run`.

        Raises:
            NoFreshServerError: see `read_only`.
            psycopg.Error: of a statement; not retryable, or raised twice.
        """
        request = self._request(max_staleness_s, token, allow_stale=allow_stale)
        for is_last in (False, True):
            try:
                open_read, _ = await self._choose(request, self._scope(tenant_key, statements))
            except psycopg.Error as error:
                if is_last or not is_retryable(error):
                    raise
            else:
                await open_read.release()
                return open_read.rows
        raise AssertionError("the second try returns or raises")

    async def _choose(self, request: ReadRequest, scope: ReadScope) -> tuple[_OpenRead, ChosenServer]:
        plan = plan_read(self.guard, self.budget, request, self._clock)
        open_read: _OpenRead | None = None
        answer: Answer = None
        try:
            while True:
                step = plan.send(answer)
                if open_read is not None:
                    await open_read.release()
                    open_read = None
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    answer = None
                else:
                    answer, open_read = await self._try(step, scope)
        except StopIteration as end:
            server: ChosenServer = end.value
            if open_read is None:
                raise AssertionError("a plan ends with an open read") from None
            self._count(server)
            return open_read, server
        except NoFreshServerError:
            if open_read is not None:
                await open_read.release()
            self._count(None)
            raise

    async def _try(self, step: TryServer, scope: ReadScope) -> tuple[ReadProbe | Exception, _OpenRead | None]:
        pool = self._pools[step.server.name]
        for is_last in (False, True):
            try:
                connection = await pool.acquire()
            except (psycopg.OperationalError, UnavailableError) as error:
                return error, None
            try:
                probe, rows = await self._begin(connection, step, scope)
            except psycopg.OperationalError as error:
                # One of the scope's statements took too long: it would on another server, too.
                if scope.statements and isinstance(error, psycopg.errors.QueryCanceled):
                    await pool.release(connection)
                    raise
                if is_last or not is_retryable(error) or not self.guard.is_reachable(step.server):
                    await pool.release(connection)
                    return error, None
                await pool.discard(connection)
            except BaseException:
                await pool.release(connection)
                raise
            else:
                pool.mark_responsive(connection)
                return probe, _OpenRead(pool, connection, rows)
        raise AssertionError("the second try returns")

    async def _begin(self, connection: AsyncConnection, step: TryServer, scope: ReadScope) -> tuple[ReadProbe, Rows]:
        has_heartbeat = self.guard.has_heartbeat(step.server)
        script = opening_script(scope, wants_position=step.wants_position, has_heartbeat=has_heartbeat)
        cursor = psycopg.AsyncClientCursor(connection)
        at = self._clock()
        await cursor.execute(";\n".join(cursor.mogrify(*statement) for statement in script).encode(), prepare=False)
        results = [await result.fetchall() if result.description else [] async for result in cursor.results()]
        return parse_opening(at, results, wants_position=step.wants_position)

    def _on_poll(self, server: Server) -> None:
        # Called in the monitor's thread; the pools belong to the loop. A task that nobody refers to may be collected.
        if not self._loop.is_closed():
            self._tending[server.name] = asyncio.run_coroutine_threadsafe(self._tend(server), self._loop)

    async def _tend(self, server: Server) -> None:
        """Adjust a server's pool to its health: end what hangs, close it while the server is down, renew it afterwards."""
        pool = self._pools[server.name]
        if not self.guard.is_reachable(server):
            pool.abort_hung()
            if self.guard.needs_cleaning(server):
                await pool.park()
        elif self.guard.needs_cleaning(server) and await pool.renew():
            self.guard.mark_cleaned(server)
