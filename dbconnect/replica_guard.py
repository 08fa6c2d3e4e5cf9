"""Decide which replicas may be read: the rules that admit and eject. No I/O; the monitor and the reads report probes.

A replica is ejected by one bad probe and admitted again after several good ones in a row, once the connections pooled
before are gone. A probe older than `check_valid_s` does not count: the guard fails closed.
"""

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from dbconnect.routes import Server
from dbconnect.server_health import (
    BEHIND,
    LATE,
    NO_ANSWER,
    NOT_IN_RECOVERY,
    OTHER_CLUSTER,
    UNREACHABLE,
    WRONG_TIMELINE,
    HealthProbe,
    PrimaryHealth,
    ReadProbe,
    ReplicaHealth,
    ServerState,
)


@dataclass(frozen=True)
class GuardLimits:
    """When a replica is good enough.

    Attributes:
        max_staleness_s: the default bound of a read; a replica beyond it is ejected.
        max_lag_bytes: a replica this far behind the primary's position is ejected.
        check_valid_s: a probe older than this is ignored.
        readmit_after: good probes in a row that an ejected replica needs.
    """

    max_staleness_s: float = 2.0
    max_lag_bytes: int = 64 * 1024 * 1024
    check_valid_s: float = 1.0
    readmit_after: int = 3


class ReplicaGuard:
    """The health of replicas and primary; shared by the monitor's thread and every read.

    Times are seconds of one monotonic clock, passed in.
    """

    def __init__(
        self,
        replicas: Sequence[Server],
        primary: Server | None,
        limits: GuardLimits,
        *,
        random_source: random.Random | None = None,
    ) -> None:
        self.limits = limits
        self.replicas = tuple(replicas)
        self.primary: Server | None = primary
        self.servers = (*replicas, *(() if primary is None else (primary,)))
        self._primary = PrimaryHealth(primary) if primary is not None else None
        self._replicas = {server.name: ReplicaHealth(server) for server in replicas}
        self._random = random_source or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._lock = threading.Lock()

    def record_probe(self, server: Server, probe: HealthProbe) -> None:
        """Record a successful probe of a server, and admit or eject it."""
        with self._lock:
            health = self._health(server)
            if isinstance(health, PrimaryHealth):
                health.record_probe(probe)
                return
            health.record_probe(probe, self._primary)
            reason, detail = self._ejection_reason(health, probe)
            if reason:
                health.eject(reason, detail)
            else:
                health.record_success(self.limits.readmit_after)

    def record_failure(self, server: Server, problem: str, *, is_timeout: bool) -> None:
        """Record that a server could not be probed."""
        reason = NO_ANSWER if is_timeout else UNREACHABLE
        with self._lock:
            health = self._health(server)
            if isinstance(health, PrimaryHealth):
                health.record_failure(reason, problem)
            else:
                health.eject(reason, problem)

    def mark_cleaned(self, server: Server) -> None:
        """Record that no connection pooled before the ejection is left."""
        with self._lock:
            self._health(server).has_suspect_connections = False

    def needs_cleaning(self, server: Server) -> bool:
        """Whether connections are pooled that may be dead, or lead to what the server no longer is."""
        with self._lock:
            return self._health(server).has_suspect_connections

    def is_reachable(self, server: Server) -> bool:
        """Whether the last probe was answered."""
        with self._lock:
            return self._health(server).is_reachable

    def fresh_replicas(self, max_staleness_s: float, now: float) -> list[Server]:
        """Return the replicas that are fresh enough for that bound, in a weighted random order.

        Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006): order by u^(1/weight).
        """
        with self._lock:
            usable = [
                health.server for health in self._replicas.values() if self._is_usable(health, max_staleness_s, now)
            ]
            if len(usable) > 1:
                usable.sort(key=lambda server: self._random.random() ** (1 / server.weight), reverse=True)
            return usable

    def stale_replicas(self) -> list[Server]:
        """Return the replicas that still follow their primary, however stale; the freshest first."""

        def age(health: ReplicaHealth) -> float:
            age_s = None if health.last_probe is None else health.staleness_s(health.last_probe, self._primary)
            return float("inf") if age_s is None else age_s

        with self._lock:
            usable = [
                health
                for health in self._replicas.values()
                if health.reason not in {NOT_IN_RECOVERY, OTHER_CLUSTER, WRONG_TIMELINE, UNREACHABLE}
            ]
            return [health.server for health in sorted(usable, key=age)]

    def promoted_replicas(self) -> list[Server]:
        """Return the replicas that were promoted while the primary is away: after a failover one of them is the new primary.

        Which one is unknown until the settings name it, so their data count as stale.
        """
        with self._lock:
            if self._primary is not None and self._primary.is_reachable:
                return []
            return [
                health.server
                for health in self._replicas.values()
                if health.reason == NOT_IN_RECOVERY and not health.has_suspect_connections
            ]

    def primary_is_usable(self) -> bool:
        """Whether there is a primary and nothing says that it is away."""
        with self._lock:
            return self._primary is not None and self._primary.may_serve

    def has_heartbeat(self, server: Server) -> bool:
        """Whether the server has the heartbeat table; assumed until it was probed."""
        with self._lock:
            probe = self._health(server).last_probe
            return probe is None or probe.has_heartbeat

    def is_comparable(self, server: Server, timeline: int, now: float) -> bool:
        """Whether a position of this timeline can be compared with the replica's.

        While the primary is away, the replica may follow a promoted server that the settings don't name yet: then only if
        its last heartbeat is one that this primary wrote.
        """
        with self._lock:
            probe = self._health(server).last_probe
            if probe is None or probe.timeline > timeline:
                return False
            primary = self._primary
            if primary is None or primary.last_probe is None:
                return probe.timeline == timeline
            is_vouched = primary.is_checked(now, self.limits.check_valid_s) or primary.wrote_heartbeat(
                probe.heartbeat_at
            )
            return primary.last_probe.timeline == timeline and is_vouched

    def staleness_s(self, server: Server, probe: ReadProbe) -> float | None:
        """Bound the age of what a snapshot shows, in seconds; None when nothing bounds it.

        With a heartbeat: the primary's present time less the newest heartbeat in the snapshot. Without: the time
        since the primary's log was last seen to end at a position that the replica has replayed.
        """
        with self._lock:
            health = self._health(server)
            if isinstance(health, PrimaryHealth):
                return None if probe.is_in_recovery else 0.0
            return health.staleness_s(probe, self._primary)

    def states(self, now: float) -> tuple[ServerState, ...]:
        """Return the state of every server, the replicas first."""
        valid_s = self.limits.check_valid_s
        with self._lock:
            states = [health.state(now, primary=self._primary, valid_s=valid_s) for health in self._replicas.values()]
            if self._primary is not None:
                states.append(self._primary.state(now, valid_s=valid_s))
            return tuple(states)

    def _health(self, server: Server) -> ReplicaHealth | PrimaryHealth:
        if server is self.primary and self._primary is not None:
            return self._primary
        return self._replicas[server.name]

    def _is_usable(self, health: ReplicaHealth, bound_s: float, now: float) -> bool:
        # A read that asks for less than the default may go to a replica that is ejected for lateness only.
        if health.last_probe is None or not (health.is_admitted or health.reason == LATE):
            return False
        if not health.is_checked(now, self.limits.check_valid_s):
            return False
        lag_s = health.staleness_s(health.last_probe, self._primary)
        return lag_s is not None and lag_s <= bound_s

    def _ejection_reason(self, health: ReplicaHealth, probe: HealthProbe) -> tuple[str, str]:
        if not probe.is_in_recovery:
            return NOT_IN_RECOVERY, "it was promoted, or its URL leads to a primary"
        primary = self._primary
        # Only a primary that answers can say which cluster and timeline a replica has to follow.
        if primary is not None and primary.is_checked(probe.at, self.limits.check_valid_s):
            reason, detail = _identity_problem(health, probe, primary.last_probe)
            lag_bytes = health.lag_bytes(primary)
            if not reason and lag_bytes is not None and lag_bytes > self.limits.max_lag_bytes:
                reason, detail = BEHIND, f"{lag_bytes} bytes"
            if reason:
                return reason, detail
        lag_s = health.staleness_s(probe, primary)
        if lag_s is None:
            return (
                LATE,
                "the age of its data is unknown: there is no heartbeat, and the primary was not reached yet",
            )
        return (LATE, f"{lag_s:.1f} s old") if lag_s > self.limits.max_staleness_s else ("", "")


def _identity_problem(health: ReplicaHealth, probe: HealthProbe, primary: HealthProbe | None) -> tuple[str, str]:
    if primary is None:
        return "", ""
    if probe.system_identifier != primary.system_identifier:
        return OTHER_CLUSTER, f"system identifier {probe.system_identifier}, not {primary.system_identifier}"
    if not health.follows(primary):
        return WRONG_TIMELINE, f"timeline {probe.timeline}, not {primary.timeline}"
    return "", ""
