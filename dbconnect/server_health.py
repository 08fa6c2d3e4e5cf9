"""The health of one server: its last probe, and what follows from the probes before. The guard decides what to do with it."""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from dbconnect.routes import Server

# Five minutes at four polls a second: beyond that a replica is stale by any bound.
_HISTORY = 1200
_HEARTBEAT_HISTORY = 64

LATE = "late"
BEHIND = "too far behind"
UNREACHABLE = "unreachable"
NO_ANSWER = "no answer in time"
NOT_IN_RECOVERY = "not in recovery"
OTHER_CLUSTER = "other cluster"
WRONG_TIMELINE = "wrong timeline"
NOT_CHECKED = "not checked yet"
PROBATION = "good again, but not for long enough"


@dataclass(frozen=True)
class ReadProbe:
    """State of a server as seen by one transaction.

    Attributes:
        at: monotonic seconds, before the first statement was sent.
        is_in_recovery: whether it is a replica.
        heartbeat_at: the newest heartbeat in its snapshot, by the primary's clock; None where there is no heartbeat.
        clock_at: the server's own clock.
        position: replayed (replica) or flushed (primary) log, in bytes, no newer than the snapshot; None when not queried.
    """

    at: float
    is_in_recovery: bool
    heartbeat_at: datetime | None
    clock_at: datetime
    position: int | None = None


@dataclass(frozen=True)
class HealthProbe(ReadProbe):
    """A read probe with the server's identity, as the health monitor takes it.

    Attributes:
        system_identifier: of the cluster; the same on a primary and its replicas.
        timeline: counts the promotions in the server's history; a replica's may lag behind a promotion.
        has_heartbeat: whether the heartbeat table is there.
    """

    system_identifier: int = 0
    timeline: int = 0
    has_heartbeat: bool = False


@dataclass(frozen=True)
class ServerState:
    """One server, for states and metrics.

    Attributes:
        name: of the server.
        is_primary: whether it is the fallback.
        is_usable: whether reads are sent there.
        reason: why not; empty when they are.
        detail: the error or figures behind the reason.
        lag_s: age of the last probe's snapshot, in seconds; None when unknown.
        lag_bytes: log that the replica had yet to replay; None when unknown.
        check_age_s: seconds since the last successful probe; None before it.
        weight: the server's share.
    """

    name: str
    is_primary: bool
    is_usable: bool
    reason: str
    detail: str
    lag_s: float | None
    lag_bytes: int | None
    check_age_s: float | None
    weight: int


class PrimaryHealth:
    """The primary: its log's end over time, its clock, its heartbeats."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.last_probe: HealthProbe | None = None
        self.problem: str | None = None
        self.has_suspect_connections = False
        self._positions: deque[int] = deque(maxlen=_HISTORY)
        self._position_times: deque[float] = deque(maxlen=_HISTORY)
        self._heartbeats: deque[datetime] = deque(maxlen=_HEARTBEAT_HISTORY)
        self._inherited_heartbeat_at: datetime | None = None

    def record_probe(self, probe: HealthProbe) -> None:
        """Record a successful probe."""
        before = self.last_probe
        if probe.is_in_recovery:
            self.problem = "it is in recovery: a replica, not the primary"
            return
        self.problem = None
        self.last_probe = probe
        identity = (probe.system_identifier, probe.timeline)
        if before is None or (before.system_identifier, before.timeline) != identity:
            self._positions.clear()
            self._position_times.clear()
            self._heartbeats.clear()
            self._inherited_heartbeat_at = probe.heartbeat_at
        if (
            probe.heartbeat_at not in {None, self._inherited_heartbeat_at}
            and probe.heartbeat_at not in self._heartbeats
        ):
            self._heartbeats.append(probe.heartbeat_at)
        if probe.position is not None:
            if self._positions and self._positions[-1] == probe.position:
                self._position_times[-1] = probe.at
            else:
                self._positions.append(probe.position)
                self._position_times.append(probe.at)

    def record_failure(self, reason: str, detail: str) -> None:
        """Record a failed probe."""
        self.problem = detail
        if reason == UNREACHABLE:
            self.has_suspect_connections = True

    @property
    def may_serve(self) -> bool:
        """Whether nothing says that it is away."""
        return self.problem is None and not self.has_suspect_connections

    @property
    def is_reachable(self) -> bool:
        """Whether the last probe was answered."""
        return self.problem is None

    def is_checked(self, now: float, valid_s: float) -> bool:
        """Whether the last probe is recent and succeeded."""
        return self.problem is None and self.last_probe is not None and now - self.last_probe.at <= valid_s

    def clock(self, now: float) -> datetime | None:
        """The primary's clock at a monotonic moment, at most a round trip ahead; None before the first probe."""
        if self.last_probe is None:
            return None
        return self.last_probe.clock_at + timedelta(seconds=now - self.last_probe.at)

    def wrote_heartbeat(self, heartbeat_at: datetime | None) -> bool:
        """Whether this primary wrote the heartbeat on its present timeline."""
        return heartbeat_at is not None and heartbeat_at in self._heartbeats

    def last_at_or_before(self, position: int) -> float | None:
        """Return the latest monotonic time at which the log ended no later than this position; None when unknown."""
        index = bisect_right(self._positions, position)
        return self._position_times[index - 1] if index else None

    def state(self, now: float, *, valid_s: float) -> ServerState:
        """Return the server's state."""
        reason = "" if self.is_checked(now, valid_s) else NOT_CHECKED if self.problem is None else UNREACHABLE
        return ServerState(
            name=self.server.name,
            is_primary=True,
            is_usable=self.may_serve,
            reason=reason,
            detail=self.problem or "",
            lag_s=None if self.last_probe is None else 0.0,
            lag_bytes=None if self.last_probe is None else 0,
            check_age_s=None if self.last_probe is None else now - self.last_probe.at,
            weight=self.server.weight,
        )


class ReplicaHealth:
    """A replica: admitted or ejected, and why."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.last_probe: HealthProbe | None = None
        self.is_admitted = False
        self.reason = NOT_CHECKED
        self.detail = ""
        self.has_suspect_connections = False
        self.is_reachable = True
        self._good_polls = 0
        self._has_been_ejected = False
        self._proven_timeline: tuple[int, int] | None = None

    def record_probe(self, probe: HealthProbe, primary: PrimaryHealth | None) -> None:
        """Record an answered probe; the guard decides whether it is a good one."""
        self.last_probe = probe
        self.is_reachable = True
        if primary is not None and primary.last_probe is not None and primary.wrote_heartbeat(probe.heartbeat_at):
            self._proven_timeline = (primary.last_probe.system_identifier, primary.last_probe.timeline)

    def follows(self, primary: HealthProbe) -> bool:
        """Whether the replica replays the log of this primary.

        Its control file says so, or it has replayed a heartbeat that this primary wrote: a promotion upstream reaches the
        control file with the next restart point only.
        """
        if self.last_probe is None:
            return False
        if self.last_probe.timeline == primary.timeline:
            return True
        is_proven = self._proven_timeline == (primary.system_identifier, primary.timeline)
        return is_proven and self.last_probe.timeline < primary.timeline

    def record_success(self, readmit_after: int) -> None:
        """Count a good probe, and admit the replica after enough of them."""
        self._good_polls += 1
        enough = self._good_polls >= readmit_after or not self._has_been_ejected
        if enough and not self.has_suspect_connections:
            self.is_admitted = True
            self.reason = self.detail = ""
        elif not self.is_admitted:
            self.reason = PROBATION

    def eject(self, reason: str, detail: str) -> None:
        """Stop reading the replica."""
        self.is_admitted = False
        self._has_been_ejected = True
        self._good_polls = 0
        self.reason, self.detail = reason, detail
        self.is_reachable = reason not in {UNREACHABLE, NO_ANSWER}
        # A slow replica's connections are sound; any other fault may have killed them or changed what they lead to.
        if reason not in {LATE, BEHIND, NO_ANSWER}:
            self.has_suspect_connections = True

    def is_checked(self, now: float, valid_s: float) -> bool:
        """Whether the last probe is recent and was answered."""
        return self.is_reachable and self.last_probe is not None and now - self.last_probe.at <= valid_s

    def staleness_s(self, probe: ReadProbe, primary: PrimaryHealth | None) -> float | None:
        """Bound the age of a probe's snapshot, in seconds, at the moment of the probe; None when unknown."""
        if probe.heartbeat_at is not None:
            clock = primary.clock(probe.at) if primary is not None else None
            return max(0.0, ((clock or probe.clock_at) - probe.heartbeat_at).total_seconds())
        if primary is None or probe.position is None:
            return None
        caught_up_at = primary.last_at_or_before(probe.position)
        return None if caught_up_at is None else max(0.0, probe.at - caught_up_at)

    def lag_bytes(self, primary: PrimaryHealth | None) -> int | None:
        """Return the bytes of log that were not replayed at the last probe; None when either position is unknown."""
        if primary is None or primary.last_probe is None or primary.last_probe.position is None:
            return None
        if self.last_probe is None or self.last_probe.position is None:
            return None
        return max(0, primary.last_probe.position - self.last_probe.position)

    def state(self, now: float, *, primary: PrimaryHealth | None, valid_s: float) -> ServerState:
        """Return the server's state."""
        lag_s = None if self.last_probe is None else self.staleness_s(self.last_probe, primary)
        reason = self.reason
        if not reason and not self.is_checked(now, valid_s):
            reason = NOT_CHECKED
        return ServerState(
            name=self.server.name,
            is_primary=False,
            is_usable=self.is_admitted and self.is_checked(now, valid_s),
            reason=reason,
            detail=self.detail,
            lag_s=lag_s,
            lag_bytes=self.lag_bytes(primary),
            check_age_s=None if self.last_probe is None else now - self.last_probe.at,
            weight=self.server.weight,
        )
