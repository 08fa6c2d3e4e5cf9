"""What is known of one server: the last look at it, and what follows from the looks before."""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from dbconnect.servers import Server

# Five minutes at four looks a second: beyond that a replica is stale by any bound.
_HISTORY = 1200
_BEATS = 64

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
class Glimpse:
    """What one transaction shows of its server.

    Attributes:
        at: monotonic seconds, before the first statement was sent.
        is_in_recovery: whether it is a replica.
        beat_at: the newest heartbeat in its snapshot, by the primary's clock; None where there is no heartbeat.
        clock_at: the server's own clock.
        position: replayed (replica) or flushed (primary) log, in bytes, no newer than the snapshot; None when not asked.
    """

    at: float
    is_in_recovery: bool
    beat_at: datetime | None
    clock_at: datetime
    position: int | None = None


@dataclass(frozen=True)
class Sighting(Glimpse):
    """What the watcher sees: a glimpse, and who the server is.

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
        lag_s: age of what the last look showed, in seconds; None when unknown.
        lag_bytes: log that the replica had yet to replay; None when unknown.
        check_age_s: seconds since the last successful look; None before it.
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


class PrimaryRecord:
    """The primary: its log's end over time, its clock, its beats."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.sighting: Sighting | None = None
        self.problem: str | None = None
        self.has_suspect_connections = False
        self._positions: deque[int] = deque(maxlen=_HISTORY)
        self._seen_at: deque[float] = deque(maxlen=_HISTORY)
        self._beats: deque[datetime] = deque(maxlen=_BEATS)
        self._inherited: datetime | None = None

    def saw(self, sighting: Sighting) -> None:
        """Take in a look."""
        before = self.sighting
        if sighting.is_in_recovery:
            self.problem = "it is in recovery: a replica, not the primary"
            return
        self.problem = None
        self.sighting = sighting
        identity = (sighting.system_identifier, sighting.timeline)
        if before is None or (before.system_identifier, before.timeline) != identity:
            self._positions.clear()
            self._seen_at.clear()
            self._beats.clear()
            self._inherited = sighting.beat_at
        if sighting.beat_at not in {None, self._inherited} and sighting.beat_at not in self._beats:
            self._beats.append(sighting.beat_at)
        if sighting.position is not None:
            if self._positions and self._positions[-1] == sighting.position:
                self._seen_at[-1] = sighting.at
            else:
                self._positions.append(sighting.position)
                self._seen_at.append(sighting.at)

    def missed(self, reason: str, detail: str) -> None:
        """Take in a failed look."""
        self.problem = detail
        if reason == UNREACHABLE:
            self.has_suspect_connections = True

    @property
    def may_serve(self) -> bool:
        """Whether nothing says that it is away."""
        return self.problem is None and not self.has_suspect_connections

    @property
    def is_reachable(self) -> bool:
        """Whether the last look was answered."""
        return self.problem is None

    def is_checked(self, now: float, valid_s: float) -> bool:
        """Whether the last look is recent and was good."""
        return self.problem is None and self.sighting is not None and now - self.sighting.at <= valid_s

    def clock(self, now: float) -> datetime | None:
        """The primary's clock at a monotonic moment, at most a round trip ahead; None before the first look."""
        if self.sighting is None:
            return None
        return self.sighting.clock_at + timedelta(seconds=now - self.sighting.at)

    def wrote(self, beat_at: datetime | None) -> bool:
        """Whether this beat was seen to be written by this primary on its present timeline."""
        return beat_at is not None and beat_at in self._beats

    def last_at_or_before(self, position: int) -> float | None:
        """The latest moment at which the log was seen to end no later than this position."""
        index = bisect_right(self._positions, position)
        return self._seen_at[index - 1] if index else None

    def state(self, now: float, *, valid_s: float) -> ServerState:
        """Describe it."""
        reason = "" if self.is_checked(now, valid_s) else NOT_CHECKED if self.problem is None else UNREACHABLE
        return ServerState(
            name=self.server.name,
            is_primary=True,
            is_usable=self.may_serve,
            reason=reason,
            detail=self.problem or "",
            lag_s=None if self.sighting is None else 0.0,
            lag_bytes=None if self.sighting is None else 0,
            check_age_s=None if self.sighting is None else now - self.sighting.at,
            weight=self.server.weight,
        )


class ReplicaRecord:
    """A replica: admitted or ejected, and why."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.sighting: Sighting | None = None
        self.is_admitted = False
        self.reason = NOT_CHECKED
        self.detail = ""
        self.has_suspect_connections = False
        self.is_reachable = True
        self._good_looks = 0
        self._was_ejected = False
        self._proven_timeline: tuple[int, int] | None = None

    def saw(self, sighting: Sighting, primary: PrimaryRecord | None) -> None:
        """Take in a look; whether it is a good one is the guard's to say."""
        self.sighting = sighting
        self.is_reachable = True
        if primary is not None and primary.sighting is not None and primary.wrote(sighting.beat_at):
            self._proven_timeline = (primary.sighting.system_identifier, primary.sighting.timeline)

    def follows(self, primary: Sighting) -> bool:
        """Whether the replica replays the log of this primary.

        Its control file says so, or it has shown a heartbeat that this primary wrote: a promotion upstream reaches the
        control file with the next restart point only.
        """
        if self.sighting is None:
            return False
        if self.sighting.timeline == primary.timeline:
            return True
        is_proven = self._proven_timeline == (primary.system_identifier, primary.timeline)
        return is_proven and self.sighting.timeline < primary.timeline

    def good(self, readmit_after: int) -> None:
        """Count a good look, and admit when it was enough of them."""
        self._good_looks += 1
        enough = self._good_looks >= readmit_after or not self._was_ejected
        if enough and not self.has_suspect_connections:
            self.is_admitted = True
            self.reason = self.detail = ""
        elif not self.is_admitted:
            self.reason = PROBATION

    def eject(self, reason: str, detail: str) -> None:
        """Read it no more, from now on."""
        self.is_admitted = False
        self._was_ejected = True
        self._good_looks = 0
        self.reason, self.detail = reason, detail
        self.is_reachable = reason not in {UNREACHABLE, NO_ANSWER}
        # A slow replica's connections are sound; any other fault may have killed them or changed what they lead to.
        if reason not in {LATE, BEHIND, NO_ANSWER}:
            self.has_suspect_connections = True

    def is_checked(self, now: float, valid_s: float) -> bool:
        """Whether the last look is recent and was answered."""
        return self.is_reachable and self.sighting is not None and now - self.sighting.at <= valid_s

    def staleness_s(self, glimpse: Glimpse, primary: PrimaryRecord | None) -> float | None:
        """Bound the age of what a glimpse shows, in seconds, at the moment of the glimpse."""
        if glimpse.beat_at is not None:
            clock = primary.clock(glimpse.at) if primary is not None else None
            return max(0.0, ((clock or glimpse.clock_at) - glimpse.beat_at).total_seconds())
        if primary is None or glimpse.position is None:
            return None
        caught_up_at = primary.last_at_or_before(glimpse.position)
        return None if caught_up_at is None else max(0.0, glimpse.at - caught_up_at)

    def lag_bytes(self, primary: PrimaryRecord | None) -> int | None:
        """The log that it had yet to replay at the last look; None when either position is unknown."""
        if primary is None or primary.sighting is None or primary.sighting.position is None:
            return None
        if self.sighting is None or self.sighting.position is None:
            return None
        return max(0, primary.sighting.position - self.sighting.position)

    def state(self, now: float, *, primary: PrimaryRecord | None, valid_s: float) -> ServerState:
        """Describe it."""
        lag_s = None if self.sighting is None else self.staleness_s(self.sighting, primary)
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
            check_age_s=None if self.sighting is None else now - self.sighting.at,
            weight=self.server.weight,
        )
