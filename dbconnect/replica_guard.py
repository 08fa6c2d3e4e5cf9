"""Which replica may be read: what is known of each server, and the rules that admit and eject. No input or output.

A replica is ejected by one bad look and admitted again after several good ones in a row, once the connections pooled
from before are gone. Knowledge older than `check_valid_s` counts as none: the guard fails closed.
"""

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from dbconnect.server_record import (
    BEHIND,
    LATE,
    NO_ANSWER,
    NOT_IN_RECOVERY,
    OTHER_CLUSTER,
    UNREACHABLE,
    WRONG_TIMELINE,
    Glimpse,
    PrimaryRecord,
    ReplicaRecord,
    ServerState,
    Sighting,
)
from dbconnect.servers import Server


@dataclass(frozen=True)
class GuardLimits:
    """When a replica is good enough.

    Attributes:
        max_staleness_s: the default bound of a read; a replica beyond it is ejected.
        max_lag_bytes: a replica this far behind the primary's position is ejected.
        check_valid_s: a look older than this says nothing.
        readmit_after: good looks in a row that an ejected replica needs.
    """

    max_staleness_s: float = 2.0
    max_lag_bytes: int = 64 * 1024 * 1024
    check_valid_s: float = 1.0
    readmit_after: int = 3


class ReplicaGuard:
    """What is known of the replicas and the primary; shared by the watching thread and by every read.

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
        self.primary = primary
        self._primary = PrimaryRecord(primary) if primary is not None else None
        self._replicas = {server.name: ReplicaRecord(server) for server in replicas}
        self._random = random_source or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._lock = threading.Lock()

    def saw(self, server: Server, sighting: Sighting) -> None:
        """Take in one successful look at a server."""
        with self._lock:
            record = self._record(server)
            if isinstance(record, PrimaryRecord):
                record.saw(sighting)
                return
            record.saw(sighting, self._primary)
            reason, detail = self._objection(record, sighting)
            if reason:
                record.eject(reason, detail)
            else:
                record.good(self.limits.readmit_after)

    def missed(self, server: Server, problem: str, *, is_timeout: bool) -> None:
        """Take in that a server could not be looked at."""
        reason = NO_ANSWER if is_timeout else UNREACHABLE
        with self._lock:
            record = self._record(server)
            if isinstance(record, PrimaryRecord):
                record.missed(reason, problem)
            else:
                record.eject(reason, problem)

    def cleaned(self, server: Server) -> None:
        """Take in that no connection pooled before the ejection is left."""
        with self._lock:
            self._record(server).has_suspect_connections = False

    def needs_cleaning(self, server: Server) -> bool:
        """Whether connections are pooled that may be dead, or lead to what the server no longer is."""
        with self._lock:
            return self._record(server).has_suspect_connections

    def is_reachable(self, server: Server) -> bool:
        """Whether the last look was answered."""
        with self._lock:
            return self._record(server).is_reachable

    def fresh_order(self, max_staleness_s: float, now: float) -> list[Server]:
        """Give the replicas worth asking for a read of that bound, in a weighted random order.

        Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006): order by u^(1/weight).
        """
        with self._lock:
            usable = [
                record.server for record in self._replicas.values() if self._is_usable(record, max_staleness_s, now)
            ]
            if len(usable) > 1:
                usable.sort(key=lambda server: self._random.random() ** (1 / server.weight), reverse=True)
            return usable

    def stale_order(self) -> list[Server]:
        """Give the replicas that are still what they should be, whatever their age; the freshest first."""

        def age(record: ReplicaRecord) -> float:
            known = None if record.sighting is None else record.staleness_s(record.sighting, self._primary)
            return float("inf") if known is None else known

        with self._lock:
            usable = [
                record
                for record in self._replicas.values()
                if record.reason not in {NOT_IN_RECOVERY, OTHER_CLUSTER, WRONG_TIMELINE, UNREACHABLE}
            ]
            return [record.server for record in sorted(usable, key=age)]

    def promoted(self) -> list[Server]:
        """Give the former replicas that take writes now, while the primary is away: after a failover one of them is it.

        Until the URLs say so nobody can tell, so what they show counts as stale.
        """
        with self._lock:
            if self._primary is not None and self._primary.is_reachable:
                return []
            return [
                record.server
                for record in self._replicas.values()
                if record.reason == NOT_IN_RECOVERY and not record.has_suspect_connections
            ]

    def primary_is_usable(self) -> bool:
        """Whether there is a primary and nothing says that it is away."""
        with self._lock:
            return self._primary is not None and self._primary.may_serve

    def has_heartbeat(self, server: Server) -> bool:
        """Whether the server has the heartbeat table; taken for granted until it was looked at."""
        with self._lock:
            sighting = self._record(server).sighting
            return sighting is None or sighting.has_heartbeat

    def is_comparable(self, server: Server, timeline: int, now: float) -> bool:
        """Whether a position of this timeline can be compared with the replica's.

        While the primary is away, the replica may have followed a promotion that nobody told us of: then only if its last
        heartbeat is one that this primary wrote.
        """
        with self._lock:
            sighting = self._record(server).sighting
            if sighting is None or sighting.timeline > timeline:
                return False
            primary = self._primary
            if primary is None or primary.sighting is None:
                return sighting.timeline == timeline
            is_vouched = primary.is_checked(now, self.limits.check_valid_s) or primary.wrote(sighting.beat_at)
            return primary.sighting.timeline == timeline and is_vouched

    def staleness_s(self, server: Server, glimpse: Glimpse) -> float | None:
        """Bound the age of what a snapshot shows, in seconds; None when nothing bounds it.

        With a heartbeat: the primary's present time less the time of the newest beat in the snapshot. Without: the time
        since the primary's log was last seen to end at a position that the replica has replayed.
        """
        with self._lock:
            record = self._record(server)
            if isinstance(record, PrimaryRecord):
                return None if glimpse.is_in_recovery else 0.0
            return record.staleness_s(glimpse, self._primary)

    def states(self, now: float) -> tuple[ServerState, ...]:
        """Describe every server, the replicas first."""
        valid_s = self.limits.check_valid_s
        with self._lock:
            states = [record.state(now, primary=self._primary, valid_s=valid_s) for record in self._replicas.values()]
            if self._primary is not None:
                states.append(self._primary.state(now, valid_s=valid_s))
            return tuple(states)

    def _record(self, server: Server) -> ReplicaRecord | PrimaryRecord:
        if server is self.primary and self._primary is not None:
            return self._primary
        return self._replicas[server.name]

    def _is_usable(self, record: ReplicaRecord, bound_s: float, now: float) -> bool:
        # A read that asks for less than the default may go to a replica that is ejected for lateness only.
        if record.sighting is None or not (record.is_admitted or record.reason == LATE):
            return False
        if not record.is_checked(now, self.limits.check_valid_s):
            return False
        lag_s = record.staleness_s(record.sighting, self._primary)
        return lag_s is not None and lag_s <= bound_s

    def _objection(self, record: ReplicaRecord, sighting: Sighting) -> tuple[str, str]:
        if not sighting.is_in_recovery:
            return NOT_IN_RECOVERY, "it was promoted, or its URL leads to a primary"
        primary = self._primary
        # Whom a replica has to follow is the primary's to say, as long as it answers.
        if primary is not None and primary.is_checked(sighting.at, self.limits.check_valid_s):
            reason, detail = _foreignness(record, sighting, primary.sighting)
            lag_bytes = record.lag_bytes(primary)
            if not reason and lag_bytes is not None and lag_bytes > self.limits.max_lag_bytes:
                reason, detail = BEHIND, f"{lag_bytes} bytes"
            if reason:
                return reason, detail
        lag_s = record.staleness_s(sighting, primary)
        if lag_s is None:
            return (
                LATE,
                "nothing tells how old its data are: there is no heartbeat, and the primary was not reached yet",
            )
        return (LATE, f"{lag_s:.1f} s old") if lag_s > self.limits.max_staleness_s else ("", "")


def _foreignness(record: ReplicaRecord, sighting: Sighting, primary: Sighting | None) -> tuple[str, str]:
    if primary is None:
        return "", ""
    if sighting.system_identifier != primary.system_identifier:
        return OTHER_CLUSTER, f"system identifier {sighting.system_identifier}, not {primary.system_identifier}"
    if not record.follows(primary):
        return WRONG_TIMELINE, f"timeline {sighting.timeline}, not {primary.timeline}"
    return "", ""
