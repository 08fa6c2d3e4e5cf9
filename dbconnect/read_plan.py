"""Choose a server for a read: a sans-I/O generator driven by both routers.

The order: a replica that is fresh enough; the primary, within a budget; a replica that is too old, marked stale; else
an error that says when to retry. The guard's health data only choose which server to try. What decides is the age that
the read's own snapshot shows.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

from dbconnect.commit_tokens import CommitToken
from dbconnect.errors import NoFreshServerError
from dbconnect.replica_guard import ReplicaGuard
from dbconnect.routes import PRIMARY, Server
from dbconnect.server_health import ReadProbe
from dbconnect.token_bucket import TokenBucket

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.04
_RETRY_AFTER_S = 1.0


@dataclass(frozen=True)
class ReadRequest:
    """The conditions of a read.

    Attributes:
        max_staleness_s: older data are marked stale, or refused.
        token: the read must include this commit, whatever `allow_stale` says.
        allow_stale: whether older data are acceptable when no server is fresh enough.
        token_wait_s: how long to wait for the replica to replay the token's commit.
    """

    max_staleness_s: float
    token: CommitToken | None
    allow_stale: bool
    token_wait_s: float


@dataclass(frozen=True)
class TryServer:
    """Ask the router to begin a transaction on the server and send its `ReadProbe`, or the error.

    Attributes:
        server: to try.
        wants_position: also query a replay position no newer than the snapshot.
    """

    server: Server
    wants_position: bool


@dataclass(frozen=True)
class Pause:
    """Ask the router to release its connection, wait, and send None."""

    seconds: float


@dataclass(frozen=True)
class ChosenServer:
    """The result: read on the connection of the last `TryServer`.

    Attributes:
        server: that answers.
        staleness_s: maximum age of the data; None when unknown.
        is_stale: whether that exceeds the requested bound.
        is_fallback: whether the read counts against the primary's budget.
    """

    server: Server
    staleness_s: float | None
    is_stale: bool
    is_fallback: bool


Step: TypeAlias = TryServer | Pause
Answer: TypeAlias = ReadProbe | Exception | None
Plan: TypeAlias = Generator[Step, Answer, ChosenServer]


def plan_read(guard: ReplicaGuard, budget: TokenBucket, request: ReadRequest, clock: Callable[[], float]) -> Plan:
    """Choose a server: yields steps, receives their answers, returns the chosen server.

    A step after a `TryServer` rejects that server: release its connection.

    Raises:
        NoFreshServerError: no server meets the conditions.
    """
    problems: dict[str, str] = {}
    failed: set[str] = set()
    server = yield from _try_fresh_replicas(guard, request, clock, problems, failed)
    server = server or (yield from _try_primary(guard, budget, clock, problems))
    server = server or (yield from _try_promoted_replicas(guard, budget, request, clock, problems))
    server = server or (yield from _try_stale_replicas(guard, request, problems, failed))
    if server is not None:
        return server
    condition = "as new as the token" if request.token else f"at most {request.max_staleness_s:g} s old"
    reasons = (
        "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        or "no replica is usable and no fallback is set"
    )
    wait_s = budget.next_in_s(clock()) if guard.primary_is_usable() else _RETRY_AFTER_S
    raise NoFreshServerError(
        f"no server has data {condition}: {reasons}. Try again in a moment",
        retry_after_s=min(max(wait_s, _RETRY_AFTER_S), 60.0),
    )


def _try_fresh_replicas(
    guard: ReplicaGuard,
    request: ReadRequest,
    clock: Callable[[], float],
    problems: dict[str, str],
    failed: set[str],
) -> Generator[Step, Answer, ChosenServer | None]:
    give_up_at = clock() + request.token_wait_s
    for server in guard.fresh_replicas(request.max_staleness_s, clock()):
        if request.token is not None and not guard.is_comparable(server, request.token.timeline, clock()):
            problems[server.name] = "on another timeline than the token"
            continue
        pause_s = _FIRST_PAUSE_S
        wants_position = request.token is not None or not guard.has_heartbeat(server)
        while True:
            answer = yield TryServer(server, wants_position)
            if not isinstance(answer, ReadProbe):
                failed.add(server.name)
                problems[server.name] = str(answer)
                break
            staleness_s = guard.staleness_s(server, answer)
            if not answer.is_in_recovery or staleness_s is None or staleness_s > request.max_staleness_s:
                age = "of unknown age" if staleness_s is None else f"{staleness_s:.1f} s old"
                problems[server.name] = age if answer.is_in_recovery else "not a replica any more"
                break
            if request.token is None or (answer.position is not None and answer.position >= request.token.position):
                return ChosenServer(server, staleness_s, is_stale=False, is_fallback=False)
            if clock() + pause_s > give_up_at:
                problems[server.name] = "has not replayed the token's commit yet"
                break
            yield Pause(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return None


def _try_primary(
    guard: ReplicaGuard, budget: TokenBucket, clock: Callable[[], float], problems: dict[str, str]
) -> Generator[Step, Answer, ChosenServer | None]:
    if guard.primary is None:
        return None
    if not guard.primary_is_usable():
        problems[PRIMARY] = "away"
        return None
    if not budget.take(clock()):
        problems[PRIMARY] = "the budget of reads is used up"
        return None
    answer = yield TryServer(guard.primary, wants_position=False)
    if not isinstance(answer, ReadProbe):
        problems[PRIMARY] = str(answer)
    elif answer.is_in_recovery:
        problems[PRIMARY] = "in recovery, so not the primary"
    else:
        return ChosenServer(guard.primary, 0.0, is_stale=False, is_fallback=True)
    return None


def _try_promoted_replicas(
    guard: ReplicaGuard,
    budget: TokenBucket,
    request: ReadRequest,
    clock: Callable[[], float],
    problems: dict[str, str],
) -> Generator[Step, Answer, ChosenServer | None]:
    """Try a replica that was promoted while the primary is away: it may be the new primary, so within the budget."""
    if request.token is not None or not request.allow_stale:
        return None
    for server in guard.promoted_replicas():
        if not budget.take(clock()):
            problems[server.name] = "promoted, and the budget of reads on a primary is used up"
            return None
        answer = yield TryServer(server, wants_position=False)
        if isinstance(answer, ReadProbe):
            return ChosenServer(server, guard.staleness_s(server, answer), is_stale=True, is_fallback=True)
        problems[server.name] = str(answer)
    return None


def _try_stale_replicas(
    guard: ReplicaGuard, request: ReadRequest, problems: dict[str, str], failed: set[str]
) -> Generator[Step, Answer, ChosenServer | None]:
    if request.token is not None or not request.allow_stale:
        return None
    for server in guard.stale_replicas():
        if server.name in failed:  # retrying would only wait again
            continue
        answer = yield TryServer(server, wants_position=not guard.has_heartbeat(server))
        if isinstance(answer, ReadProbe) and answer.is_in_recovery:
            staleness_s = guard.staleness_s(server, answer)
            is_stale = staleness_s is None or staleness_s > request.max_staleness_s
            return ChosenServer(server, staleness_s, is_stale=is_stale, is_fallback=False)
        if isinstance(answer, Exception):
            problems[server.name] = str(answer)
    return None
