"""What the async and the sync router share: the settings turned into servers, guard, budget and watcher; states."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from dbconnect.budget import check_connection_budget
from dbconnect.errors import SettingsError, UnavailableError
from dbconnect.pool_options import PoolLimits, PoolState
from dbconnect.pooler_probe import probe_preparing
from dbconnect.read import Scope
from dbconnect.read_plan import Found, ReadRequest
from dbconnect.replica_guard import GuardLimits, ReplicaGuard
from dbconnect.server_record import ServerState
from dbconnect.servers import Server, dashboard_primary, dashboard_replicas
from dbconnect.settings import Settings
from dbconnect.token_bucket import TokenBucket
from dbconnect.tokens import ReadToken
from dbconnect.watcher import Watcher

FIRST_LOOKS_S = 3.0
_PARTS = 5
PREPARING = "on"
# psycopg's own default.
_PREPARE_AFTER = 5

_log = logging.getLogger(__name__)


class Share(Enum):
    """How much of the settings' connections and of the fallback budget a router takes, where two processes share them.

    The two shares together are the whole, of a count of two or more.
    """

    WHOLE = "whole"
    LESSER = "lesser"
    GREATER = "greater"

    def of(self, count: int) -> int:
        """Give the share of a count: one in five, the rest, or all."""
        lesser = max(1, count // _PARTS)
        return {Share.WHOLE: count, Share.LESSER: lesser, Share.GREATER: max(1, count - lesser)}[self]

    def rate(self, per_second: float) -> float:
        """Give the share of a rate."""
        return per_second * {Share.WHOLE: 1.0, Share.LESSER: 1 / _PARTS, Share.GREATER: 1 - 1 / _PARTS}[self]


@dataclass(frozen=True)
class RouterState:
    """Everything that readiness and metrics ask of a router.

    Attributes:
        servers: the replicas and the primary, as the guard sees them.
        pools: by the server's name.
        fallback_budget: reads that may go to the primary right now.
        preparing: by the server's name: `on`, `off`, or why it was refused.
        reads: how many reads ended how, since the start: `fresh`, `fallback`, `stale`, `refused`.
    """

    servers: tuple[ServerState, ...]
    pools: Mapping[str, PoolState]
    fallback_budget: float
    preparing: Mapping[str, str]
    reads: Mapping[str, int]

    @property
    def is_ready(self) -> bool:
        """Whether a read would be answered now, were it by the primary."""
        return any(server.is_usable for server in self.servers)

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain values, for JSON."""
        return asdict(self)

    def plus(self, other: "RouterState") -> "RouterState":
        """Add the pools, the budget and the reads of a router with the same settings; servers stay as this one sees them."""
        return replace(
            self,
            pools={name: pool.plus(other.pools[name]) for name, pool in self.pools.items()},
            fallback_budget=self.fallback_budget + other.fallback_budget,
            reads={end: count + other.reads[end] for end, count in self.reads.items()},
        )


class RouterBase:
    """The parts of a router that do no reading."""

    def __init__(
        self,
        settings: Settings,
        *,
        limits: GuardLimits | None = None,
        watch_every_s: float = 0.25,
        share: Share = Share.WHOLE,
    ) -> None:
        """Set everything up; nothing is connected yet.

        Args:
            settings: whose `dashboard_…` fields count.
            limits: when a replica is good enough; from the settings unless given.
            watch_every_s: seconds between two looks at a server.
            share: of the connections and of the fallback budget; the rest is another router's.

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
        self._share = share
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
            per_second=share.rate(settings.dashboard_fallback_reads_per_second),
            burst=share.of(settings.dashboard_fallback_burst),
        )
        self._watcher = Watcher(self.guard, on_look=self._looked_at, every_s=watch_every_s, clock=self._clock)
        self._preparing = {server.name: "off" for server in self._servers}
        self._reads: Counter[str] = Counter(fresh=0, fallback=0, stale=0, refused=0)

    @property
    def _servers(self) -> tuple[Server, ...]:
        primary = (self.guard.primary,) if self.guard.primary is not None else ()
        return (*self.guard.replicas, *primary)

    def _check(self) -> None:
        """See that the pools fit into the servers, and whether preparing is safe, where it is wanted."""
        check_connection_budget(self._settings)
        for server in self._servers if self._settings.dashboard_prepare_statements else ():
            self._preparing[server.name] = _probe(server)

    def _pool_limits(self, server: Server) -> PoolLimits:
        is_primary = server is self.guard.primary
        settings = self._settings
        return PoolLimits(
            size=self._share.of(settings.dashboard_fallback_pool_size if is_primary else settings.dashboard_pool_size),
            wait_s=settings.dashboard_pool_wait_seconds,
            hang_s=settings.dashboard_statement_timeout_seconds + 1,
            prepare_threshold=_PREPARE_AFTER if self._preparing[server.name] == PREPARING else None,
        )

    def _request(self, max_staleness_s: float | None, token: str | None, *, allow_stale: bool) -> ReadRequest:
        bound = self.guard.limits.max_staleness_s if max_staleness_s is None else max_staleness_s
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
        return RouterState(
            self.guard.states(now), pools, self.budget.level(now), dict(self._preparing), dict(self._reads)
        )


def _probe(server: Server) -> str:
    try:
        result = probe_preparing(server.url)
    except UnavailableError as error:
        reason = str(error)
    else:
        if result.is_safe:
            return PREPARING
        reason = result.reason
    _log.warning("statements are not prepared on %s, because two clients showed a fault: %s", server.name, reason)
    return f"refused: {reason}"
