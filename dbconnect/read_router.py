"""Read-only connections for async code, each on a server that is fresh enough.

router = dbconnect.ReadRouter(dbconnect.load_settings())
async with router, router.read_only(max_staleness_s=2.0, tenant_key=7) as read:
    rows = await (await read.connection.execute("SELECT …")).fetchall()
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NamedTuple, Self, TypeAlias, TypeVar

import psycopg

from dbconnect.async_pool import AsyncServerPool
from dbconnect.errors import NoFreshServerError, UnavailableError
from dbconnect.read import BEGIN, CHAIN, COMMIT, Read, Scope, Statement, entering, glimpse
from dbconnect.read_plan import Answer, Enter, Found, Pause, ReadRequest, plan_read
from dbconnect.replica_guard import GuardLimits
from dbconnect.retrying import is_worth_retrying
from dbconnect.router_base import FIRST_LOOKS_S, RouterBase, RouterState, Share
from dbconnect.routes import AsyncConnection, Row
from dbconnect.server_record import Glimpse
from dbconnect.servers import Server
from dbconnect.settings import Settings
from dbsql import query

Result = TypeVar("Result")
Rows: TypeAlias = list[list[Row]]


class _Taken(NamedTuple):
    """A connection that a read has begun on.

    Attributes:
        rows: of each statement that was sent along; their transaction has ended already.
    """

    pool: AsyncServerPool
    connection: AsyncConnection
    rows: Rows


class ReadRouter(RouterBase):
    """Hands out read-only transactions: replica first, then the primary within a budget, then stale and said so.

    One per process and event loop; open it with `async with`, or `open` and `close`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        limits: GuardLimits | None = None,
        watch_every_s: float = 0.25,
        share: Share = Share.WHOLE,
    ) -> None:
        """As `RouterBase`."""
        super().__init__(settings, limits=limits, watch_every_s=watch_every_s, share=share)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pools: dict[str, AsyncServerPool] = {}
        self._cleaning: dict[str, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Open the pools and begin to watch; returns when each server was looked at, or after three seconds.

        A server that is away is no error: the router takes it in as soon as it is back.

        Raises:
            ConnectionBudgetError: the pools of all routes don't fit into a server.
        """
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._check)
        for server in self._servers:
            self._pools[server.name] = AsyncServerPool(server, self._pool_limits(server), self._clock)
            await self._pools[server.name].open()
        self._watcher.start()
        await asyncio.to_thread(self._watcher.wait_for_first_looks, FIRST_LOOKS_S)

    async def close(self) -> None:
        """Stop watching and close every connection."""
        await asyncio.to_thread(self._watcher.stop)
        await asyncio.gather(*self._cleaning.values())
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
        """Begin a read-only transaction on a server that is fresh enough, and end it afterwards.

        Args:
            max_staleness_s: how old the data may be, in seconds; `dashboard_max_staleness_seconds` unless given.
            token: what `commit_token` gave after a write; the read shows that write.
            tenant_key: whose rows row-level security shows; none without it.
            allow_stale: take older data, marked `is_stale`, when no server is fresh enough; never older than the token.

        Raises:
            NoFreshServerError: no server can answer; says when to try again.
            TokenError: the token is not one.
        """
        request = self._request(max_staleness_s, token, allow_stale=allow_stale)
        taken, found = await self._find(request, self._scope(tenant_key))
        try:
            yield Read.of(taken.connection, found)
            # What was read is read: that the connection broke afterwards takes nothing from it.
            with contextlib.suppress(psycopg.OperationalError):
                await taken.connection.execute(COMMIT)
        finally:
            await taken.pool.release(taken.connection)

    async def run(
        self,
        work: Callable[[Read[AsyncConnection]], Awaitable[Result]],
        *,
        max_staleness_s: float | None = None,
        token: str | None = None,
        tenant_key: int | None = None,
        allow_stale: bool = True,
    ) -> Result:
        """Call `work` in a `read_only` block; once more, from the beginning, when its server broke off.

        Raises:
            NoFreshServerError: see `read_only`.
            psycopg.Error: what `work` raised, twice or not worth trying again.
        """
        for is_last in (False, True):
            try:
                async with self.read_only(max_staleness_s, token, tenant_key, allow_stale=allow_stale) as read:
                    return await work(read)
            except psycopg.Error as error:
                if is_last or not is_worth_retrying(error):
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
        """Run statements in one read-only transaction, and give the rows of each.

        All of it is one message to the server and one answer, where a `read_only` block has to wait for the server three times and
        more; in an event loop that is full each time costs a whole turn of it. Parameters are put into the text by psycopg's own
        quoting (`AsyncClientCursor`). Whether the server was fresh enough is judged as in `read_only`, before anything is given.
        Tried once more, as by `run`.

        Raises:
            NoFreshServerError: see `read_only`.
            psycopg.Error: what a statement raised, twice or not worth trying again.
        """
        request = self._request(max_staleness_s, token, allow_stale=allow_stale)
        for is_last in (False, True):
            try:
                taken, _ = await self._find(request, self._scope(tenant_key), statements)
            except psycopg.Error as error:
                if is_last or not is_worth_retrying(error):
                    raise
            else:
                await taken.pool.release(taken.connection)
                return taken.rows
        raise AssertionError("the second try returns or raises")

    def state(self) -> RouterState:
        """Describe servers, pools, budget and reads so far."""
        return self._state({name: pool.state() for name, pool in self._pools.items()})

    async def _find(
        self, request: ReadRequest, scope: Scope, statements: Sequence[Statement] = ()
    ) -> tuple[_Taken, Found]:
        plan = plan_read(self.guard, self.budget, request, self._clock)
        taken: _Taken | None = None
        answer: Answer = None
        try:
            while True:
                step = plan.send(answer)
                if taken is not None:
                    await taken.pool.release(taken.connection)
                    taken = None
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    answer = None
                else:
                    answer, taken = await self._try(step, scope, statements)
        except StopIteration as end:
            found: Found = end.value
            if taken is None:
                raise AssertionError("a plan ends with a connection taken") from None
            self._count(found)
            return taken, found
        except NoFreshServerError:
            if taken is not None:
                await taken.pool.release(taken.connection)
            self._count(None)
            raise

    async def _try(
        self, step: Enter, scope: Scope, statements: Sequence[Statement]
    ) -> tuple[Glimpse | Exception, _Taken | None]:
        pool = self._pools[step.server.name]
        for is_last in (False, True):
            try:
                connection = await pool.acquire()
            except (psycopg.OperationalError, UnavailableError) as error:
                return error, None
            try:
                seen, rows = await self._enter(connection, step, scope, statements)
            except psycopg.OperationalError as error:
                if _is_of_a_statement(error, statements):
                    await pool.release(connection)
                    raise
                if is_last or not is_worth_retrying(error) or not self.guard.is_reachable(step.server):
                    await pool.release(connection)
                    return error, None
                await pool.discard(connection)
            except BaseException:
                await pool.release(connection)
                raise
            else:
                pool.entered(connection)
                return seen, _Taken(pool, connection, rows)
        raise AssertionError("the second try returns")

    async def _enter(
        self, connection: AsyncConnection, step: Enter, scope: Scope, statements: Sequence[Statement]
    ) -> tuple[Glimpse, Rows]:
        looking = [Statement(query("dbconnect.position")), Statement(CHAIN)] if step.wants_position else []
        script = [Statement(BEGIN), *looking, entering(scope, has_heartbeat=self.guard.has_heartbeat(step.server))]
        place = len(script)
        if statements:
            script += [*statements, Statement(COMMIT)]
        cursor = psycopg.AsyncClientCursor(connection)
        at = self._clock()
        await cursor.execute(";\n".join(cursor.mogrify(*statement) for statement in script).encode(), prepare=False)
        rows = [await found.fetchall() if found.description else [] async for found in cursor.results()]
        position = rows[1][0] if step.wants_position else None
        return glimpse(at, rows[place - 1][0], position), rows[place : place + len(statements)]

    def _looked_at(self, server: Server) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tend, server)

    def _tend(self, server: Server) -> None:
        pool = self._pools[server.name]
        if not self.guard.is_reachable(server):
            pool.abort_hung()
            if self.guard.needs_cleaning(server):
                pool.park()
        elif self.guard.needs_cleaning(server) and server.name not in self._cleaning:
            self._cleaning[server.name] = asyncio.create_task(self._clean(server, pool))

    async def _clean(self, server: Server, pool: AsyncServerPool) -> None:
        await pool.renew()
        self.guard.cleaned(server)
        del self._cleaning[server.name]


def _is_of_a_statement(error: psycopg.OperationalError, statements: Sequence[Statement]) -> bool:
    """Whether a statement that was sent along took too long: another server would take as long."""
    return bool(statements) and isinstance(error, psycopg.errors.QueryCanceled)
