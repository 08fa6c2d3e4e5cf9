"""Read-only connections for sync code: the twin of `dbconnect.read_router`."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Self, TypeVar

import psycopg

from dbconnect.errors import NoFreshServerError, UnavailableError
from dbconnect.read import BEGIN, CHAIN, COMMIT, Read, Scope, entering, glimpse
from dbconnect.read_plan import Answer, Enter, Found, Pause, ReadRequest, plan_read
from dbconnect.replica_guard import GuardLimits
from dbconnect.retrying import is_worth_retrying
from dbconnect.router_base import FIRST_LOOKS_S, RouterBase, RouterState
from dbconnect.routes import Connection, Row
from dbconnect.server_record import Glimpse
from dbconnect.servers import Server
from dbconnect.settings import Settings
from dbconnect.sync_pool import SyncServerPool
from dbsql import query

Result = TypeVar("Result")
_Taken = tuple[SyncServerPool, Connection]


class SyncReadRouter(RouterBase):
    """As `ReadRouter`, for threads. One per process, made after a fork."""

    def __init__(self, settings: Settings, *, limits: GuardLimits | None = None, watch_every_s: float = 0.25) -> None:
        """As `RouterBase`."""
        super().__init__(settings, limits=limits, watch_every_s=watch_every_s)
        self._pools: dict[str, SyncServerPool] = {}

    def open(self) -> None:
        """Open the pools and begin to watch; returns when each server was looked at, or after three seconds.

        A server that is away is no error: the router takes it in as soon as it is back.

        Raises:
            ConnectionBudgetError: the pools of all routes don't fit into a server.
        """
        self._check()
        for server in self._servers:
            self._pools[server.name] = SyncServerPool(server, self._pool_limits(server), self._clock)
            self._pools[server.name].open()
        self._watcher.start()
        self._watcher.wait_for_first_looks(FIRST_LOOKS_S)

    def close(self) -> None:
        """Stop watching and close every connection."""
        self._watcher.stop()
        for pool in self._pools.values():
            pool.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def read_only(
        self,
        max_staleness_s: float | None = None,
        token: str | None = None,
        tenant_key: int | None = None,
        *,
        allow_stale: bool = True,
    ) -> Iterator[Read[Connection]]:
        """As `ReadRouter.read_only`."""
        request = self._request(max_staleness_s, token, allow_stale=allow_stale)
        pool, connection, found = self._find(request, self._scope(tenant_key))
        try:
            yield Read.of(connection, found)
            # What was read is read: that the connection broke afterwards takes nothing from it.
            with contextlib.suppress(psycopg.OperationalError):
                connection.execute(COMMIT)
        finally:
            pool.release(connection)

    def run(
        self,
        work: Callable[[Read[Connection]], Result],
        *,
        max_staleness_s: float | None = None,
        token: str | None = None,
        tenant_key: int | None = None,
        allow_stale: bool = True,
    ) -> Result:
        """As `ReadRouter.run`."""
        for is_last in (False, True):
            try:
                with self.read_only(max_staleness_s, token, tenant_key, allow_stale=allow_stale) as read:
                    return work(read)
            except psycopg.Error as error:
                if is_last or not is_worth_retrying(error):
                    raise
        raise AssertionError("the second try returns or raises")

    def state(self) -> RouterState:
        """Describe servers, pools, budget and reads so far."""
        return self._state({name: pool.state() for name, pool in self._pools.items()})

    def _find(self, request: ReadRequest, scope: Scope) -> tuple[SyncServerPool, Connection, Found]:
        plan = plan_read(self.guard, self.budget, request, self._clock)
        taken: _Taken | None = None
        answer: Answer = None
        try:
            while True:
                step = plan.send(answer)
                if taken is not None:
                    taken[0].release(taken[1])
                    taken = None
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    answer = None
                else:
                    answer, taken = self._try(step, scope)
        except StopIteration as end:
            found: Found = end.value
            if taken is None:
                raise AssertionError("a plan ends with a connection taken") from None
            self._count(found)
            return *taken, found
        except NoFreshServerError:
            if taken is not None:
                taken[0].release(taken[1])
            self._count(None)
            raise

    def _try(self, step: Enter, scope: Scope) -> tuple[Glimpse | Exception, _Taken | None]:
        pool = self._pools[step.server.name]
        for is_last in (False, True):
            try:
                connection = pool.acquire()
            except (psycopg.OperationalError, UnavailableError) as error:
                return error, None
            try:
                seen = self._enter(connection, step, scope)
            except psycopg.OperationalError as error:
                if is_last or not is_worth_retrying(error) or not self.guard.is_reachable(step.server):
                    pool.release(connection)
                    return error, None
                pool.discard(connection)
            except BaseException:
                pool.release(connection)
                raise
            else:
                pool.entered(connection)
                return seen, (pool, connection)
        raise AssertionError("the second try returns")

    def _enter(self, connection: Connection, step: Enter, scope: Scope) -> Glimpse:
        position: Row | None = None
        connection.execute(BEGIN)
        if step.wants_position:
            position = connection.execute(query("dbconnect.position")).fetchone()
            connection.execute(CHAIN)
        at = self._clock()
        statement = entering(scope, has_heartbeat=self.guard.has_heartbeat(step.server))
        return glimpse(at, connection.execute(*statement).fetchone(), position)

    def _looked_at(self, server: Server) -> None:
        pool = self._pools[server.name]
        if not self.guard.is_reachable(server):
            pool.abort_hung()
            if self.guard.needs_cleaning(server):
                pool.park()
        elif self.guard.needs_cleaning(server):
            pool.renew()
            self.guard.cleaned(server)
