"""What the async and the sync router share: the settings turned into servers, guard, budget and watcher; states."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from connect.errors import SettingsError
from connect.pool_options import PoolState
from connect.read import Scope
from connect.read_plan import Found, ReadRequest
from connect.replica_guard import GuardLimits, ReplicaGuard
from connect.server_record import ServerState
from connect.servers import Server, dashboard_primary, dashboard_replicas
from connect.settings import Settings
from connect.token_bucket import TokenBucket
from connect.tokens import ReadToken
from connect.watcher import Watcher

FIRST_LOOKS_S = 3.0


@dataclass(frozen=True)
class RouterState:
    """Everything that readiness and metrics ask of a router.

    Attributes:
        servers: the replicas and the primary, as the guard sees them.
        pools: by the server's name.
        fallback_budget: reads that may go to the primary right now.
        reads: how many reads ended how, since the start: `fresh`, `fallback`, `stale`, `refused`.
    """

    servers: tuple[ServerState, ...]
    pools: Mapping[str, PoolState]
    fallback_budget: float
    reads: Mapping[str, int]

    @property
    def is_ready(self) -> bool:
        """Whether a read would be answered now, were it by the primary."""
        return any(server.is_usable for server in self.servers)

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain values, for JSON."""
        return asdict(self)


class RouterBase:
    """The parts of a router that do no reading."""

    def __init__(self, settings: Settings, *, limits: GuardLimits | None = None, watch_every_s: float = 0.25) -> None:
        """Set everything up; nothing is connected yet.

        Args:
            settings: whose `dashboard_…` fields count.
            limits: when a replica is good enough; from the settings unless given.
            watch_every_s: seconds between two looks at a server.

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
        self._watcher = Watcher(self.guard, on_look=self._looked_at, every_s=watch_every_s, clock=self._clock)
        self._reads: Counter[str] = Counter(fresh=0, fallback=0, stale=0, refused=0)

    @property
    def _servers(self) -> tuple[Server, ...]:
        primary = (self.guard.primary,) if self.guard.primary is not None else ()
        return (*self.guard.replicas, *primary)

    def _pool_size(self, server: Server) -> int:
        is_primary = server is self.guard.primary
        return self._settings.dashboard_fallback_pool_size if is_primary else self._settings.dashboard_pool_size

    def _request(self, max_staleness_s: float | None, token: str | None, *, allow_stale: bool) -> ReadRequest:
        bound = self._settings.dashboard_max_staleness_seconds if max_staleness_s is None else max_staleness_s
        return ReadRequest(
            max_staleness_s=bound,
            token=None if token is None else ReadToken.decode(token),
            allow_stale=allow_stale,
            token_wait_s=self._settings.token_wait_seconds,
        )

    def _scope(self, tenant_key: int | None) -> Scope:
        return Scope(self._settings.dashboard_statement_timeout_seconds, tenant_key)

    def _count(self, found: Found | None) -> None:
        if found is None:
            self._reads["refused"] += 1
        else:
            self._reads["stale" if found.is_stale else "fallback" if found.is_fallback else "fresh"] += 1

    def _looked_at(self, server: Server) -> None:
        """Called in the watcher's thread after every look."""
        raise NotImplementedError

    def _state(self, pools: Mapping[str, PoolState]) -> RouterState:
        now = self._clock()
        return RouterState(self.guard.states(now), pools, self.budget.level(now), dict(self._reads))
