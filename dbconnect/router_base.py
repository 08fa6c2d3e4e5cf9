"""What both routers share: servers, guard, budget and monitor set up from the settings, and the router's state."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from dbconnect.async_pool import AsyncServerPool
from dbconnect.commit_tokens import CommitToken
from dbconnect.connection_budget import check_connection_budget
from dbconnect.errors import SettingsError, UnavailableError
from dbconnect.health_monitor import HealthMonitor
from dbconnect.pgbouncer_probe import probe_prepared_statements
from dbconnect.pool_options import PoolLimits, PoolState
from dbconnect.read import ReadScope, Statement
from dbconnect.read_plan import ChosenServer, ReadRequest
from dbconnect.replica_guard import GuardLimits, ReplicaGuard
from dbconnect.routes import PRIMARY, Server, dashboard_primary, dashboard_replicas
from dbconnect.server_health import ServerState
from dbconnect.settings_loader import Settings
from dbconnect.sync_pool import SyncServerPool
from dbconnect.token_bucket import TokenBucket

FIRST_POLLS_S = 3.0
PREPARING = "on"
# psycopg's own default.
_PREPARE_AFTER = 5

_logger = logging.getLogger(__name__)


PoolT = TypeVar("PoolT", AsyncServerPool, SyncServerPool)


@dataclass(frozen=True)
class RouterState:
    """A router's state, for readiness and metrics.

    Attributes:
        servers: the replicas and the primary, as the guard sees them.
        pools: by the server's name.
        fallback_budget: reads that may go to the primary now.
        preparing: by the server's name: whether statements are prepared: `on`, `off`, or why not.
        reads: count of reads by outcome since the start: `fresh`, `fallback`, `stale`, `refused`.
    """

    servers: tuple[ServerState, ...]
    pools: Mapping[str, PoolState]
    fallback_budget: float
    preparing: Mapping[str, str]
    reads: Mapping[str, int]

    @property
    def is_ready(self) -> bool:
        """Whether any server, the primary included, would answer a read now."""
        return any(server.is_usable for server in self.servers)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


class RouterBase(Generic[PoolT]):
    """The parts of a router that do not read."""

    def __init__(
        self,
        settings: Settings,
        *,
        limits: GuardLimits | None = None,
        poll_every_s: float = 0.25,
    ) -> None:
        """Set up; `open` connects.

        Args:
            settings: the `dashboard_…` fields are used.
            limits: when a replica is good enough [from the settings].
            poll_every_s: seconds between two polls of a server.

        Raises:
            SettingsError: there is neither a replica nor a fallback.
        """
        replicas, primary = dashboard_replicas(settings), dashboard_primary(settings)
        if not replicas and primary is None:
            settings.url("dashboard_url")
        names = [server.name for server in replicas]
        if len(set(names)) < len(names) or (primary is not None and primary.name in names):
            raise SettingsError(
                f"SALESPULSE_DASHBOARD_REPLICAS: each name once, and none is `primary`: {', '.join(names)}"
            )
        self._settings = settings
        self._clock: Callable[[], float] = time.monotonic
        self.guard = ReplicaGuard(
            replicas,
            primary,
            limits
            or GuardLimits(
                max_staleness_s=settings.dashboard_max_staleness_seconds,
                max_lag_bytes=settings.dashboard_max_lag_bytes,
            ),
        )
        self.budget = TokenBucket(
            per_second=settings.dashboard_fallback_reads_per_second, burst=settings.dashboard_fallback_burst
        )
        self._monitor = HealthMonitor(self.guard, on_poll=self._on_poll, every_s=poll_every_s, clock=self._clock)
        self._preparing = {server.name: "off" for server in self.guard.servers}
        self._pools: dict[str, PoolT] = {}
        self._reads: Counter[str] = Counter(fresh=0, fallback=0, stale=0, refused=0)

    def _check(self) -> None:
        """Check that the pools fit into the servers and, if prepared statements are enabled, that they are safe."""
        check_connection_budget(self._settings)
        for server in self.guard.servers if self._settings.dashboard_prepare_statements else ():
            self._preparing[server.name] = _probe(server)

    def _pool_limits(self, server: Server) -> PoolLimits:
        is_primary = server.name == PRIMARY
        settings = self._settings
        return PoolLimits(
            size=settings.dashboard_fallback_pool_size if is_primary else settings.dashboard_pool_size,
            wait_s=settings.dashboard_pool_wait_seconds,
            hang_s=settings.dashboard_statement_timeout_seconds + 1,
            prepare_threshold=_PREPARE_AFTER if self._preparing[server.name] == PREPARING else None,
        )

    def _request(self, max_staleness_s: float | None, token: str | None, *, allow_stale: bool) -> ReadRequest:
        bound = self.guard.limits.max_staleness_s if max_staleness_s is None else max_staleness_s
        return ReadRequest(
            max_staleness_s=bound,
            token=None if token is None else CommitToken.decode(token),
            allow_stale=allow_stale,
            token_wait_s=self._settings.token_wait_seconds,
        )

    def state(self) -> RouterState:
        """Return the state of servers, pools and budget, and the counts of reads."""
        now = self._clock()
        pools = {name: pool.state() for name, pool in self._pools.items()}
        return RouterState(
            self.guard.states(now), pools, self.budget.level(now), dict(self._preparing), dict(self._reads)
        )

    def _scope(self, tenant_key: int | None, statements: Sequence[Statement] = ()) -> ReadScope:
        return ReadScope(self._settings.dashboard_statement_timeout_seconds, tenant_key, statements)

    def _count(self, server: ChosenServer | None) -> None:
        if server is None:
            self._reads["refused"] += 1
        else:
            self._reads["stale" if server.is_stale else "fallback" if server.is_fallback else "fresh"] += 1

    def _on_poll(self, server: Server) -> None:
        """Adjust the server's pool to its health; called in the monitor's thread after each poll."""
        raise NotImplementedError


def _probe(server: Server) -> str:
    try:
        result = probe_prepared_statements(server.url)
    except UnavailableError as error:
        reason = str(error)
    else:
        if result.is_safe:
            return PREPARING
        reason = result.reason
    _logger.warning(
        "prepared statements are off for %s, because the probe with two clients failed: %s", server.name, reason
    )
    return f"refused: {reason}"
