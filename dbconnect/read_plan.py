"""How one read finds its server, as a conversation without input or output: both routers, sync and async, act it out.

The order: a replica fresh enough; within a budget the primary; a replica that is too old, its answer marked stale; else
an error that says when to try again. What the guard knows only chooses whom to ask. What counts is the age that the
read's own snapshot shows.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

from dbconnect.errors import NoFreshServerError
from dbconnect.replica_guard import ReplicaGuard
from dbconnect.server_record import Glimpse
from dbconnect.servers import PRIMARY, Server
from dbconnect.token_bucket import TokenBucket
from dbconnect.tokens import ReadToken

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.04
_RETRY_AFTER_S = 1.0


@dataclass(frozen=True)
class ReadRequest:
    """What a caller wants.

    Attributes:
        max_staleness_s: older data are marked stale, or refused.
        token: the read must show this commit; never given up for staleness.
        allow_stale: whether data over the bound will do when nothing fresher is to be had.
        token_wait_s: how long the replica may take to catch up with the token.
    """

    max_staleness_s: float
    token: ReadToken | None
    allow_stale: bool
    token_wait_s: float


@dataclass(frozen=True)
class Enter:
    """Take a connection to the server and begin; the answer is a `Glimpse`, or the error.

    `wants_position`: also tell a replay position no newer than the snapshot.
    """

    server: Server
    wants_position: bool


@dataclass(frozen=True)
class Pause:
    """Wait; the answer is None. A connection that was taken is given back first."""

    seconds: float


@dataclass(frozen=True)
class Found:
    """The connection taken last is the one to read.

    Attributes:
        server: who answers.
        staleness_s: the data are at most this old; None when nothing tells.
        is_stale: whether that is more than was asked for.
        is_fallback: whether it was taken from the primary's budget.
    """

    server: Server
    staleness_s: float | None
    is_stale: bool
    is_fallback: bool


Step: TypeAlias = Enter | Pause
Answer: TypeAlias = Glimpse | Exception | None
Plan: TypeAlias = Generator[Step, Answer, Found]


def plan_read(guard: ReplicaGuard, budget: TokenBucket, request: ReadRequest, clock: Callable[[], float]) -> Plan:
    """Find a server: yields what to do, is sent what came of it, returns the server found.

    A step after an `Enter` means that its connection was not good enough: roll back and give it back.

    Raises:
        NoFreshServerError: there is none.
    """
    problems: dict[str, str] = {}
    failed: set[str] = set()
    found = yield from _ask_fresh(guard, request, clock, problems, failed)
    found = found or (yield from _ask_primary(guard, budget, clock, problems))
    found = found or (yield from _ask_promoted(guard, budget, request, clock, problems))
    found = found or (yield from _ask_stale(guard, request, problems, failed))
    if found is not None:
        return found
    wanted = "as new as the token" if request.token else f"at most {request.max_staleness_s:g} s old"
    known = (
        "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        or "no replica is usable and no fallback is set"
    )
    wait_s = budget.next_in_s(clock()) if guard.primary_is_usable() else _RETRY_AFTER_S
    raise NoFreshServerError(
        f"no server has data {wanted}: {known}. Try again in a moment",
        retry_after_s=min(max(wait_s, _RETRY_AFTER_S), 60.0),
    )


def _ask_fresh(
    guard: ReplicaGuard,
    request: ReadRequest,
    clock: Callable[[], float],
    problems: dict[str, str],
    failed: set[str],
) -> Generator[Step, Answer, Found | None]:
    give_up_at = clock() + request.token_wait_s
    for server in guard.fresh_order(request.max_staleness_s, clock()):
        if request.token is not None and not guard.is_comparable(server, request.token.timeline, clock()):
            problems[server.name] = "on another timeline than the token"
            continue
        pause_s = _FIRST_PAUSE_S
        wants_position = request.token is not None or not guard.has_heartbeat(server)
        while True:
            answer = yield Enter(server, wants_position)
            if not isinstance(answer, Glimpse):
                failed.add(server.name)
                problems[server.name] = str(answer)
                break
            staleness_s = guard.staleness_s(server, answer)
            if not answer.is_in_recovery or staleness_s is None or staleness_s > request.max_staleness_s:
                age = "of unknown age" if staleness_s is None else f"{staleness_s:.1f} s old"
                problems[server.name] = age if answer.is_in_recovery else "not a replica any more"
                break
            if request.token is None or (answer.position is not None and answer.position >= request.token.position):
                return Found(server, staleness_s, is_stale=False, is_fallback=False)
            if clock() + pause_s > give_up_at:
                problems[server.name] = "has not replayed the token's commit yet"
                break
            yield Pause(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return None


def _ask_primary(
    guard: ReplicaGuard, budget: TokenBucket, clock: Callable[[], float], problems: dict[str, str]
) -> Generator[Step, Answer, Found | None]:
    if guard.primary is None:
        return None
    if not guard.primary_is_usable():
        problems[PRIMARY] = "away"
        return None
    if not budget.take(clock()):
        problems[PRIMARY] = "the budget of reads is used up"
        return None
    answer = yield Enter(guard.primary, wants_position=False)
    if not isinstance(answer, Glimpse):
        problems[PRIMARY] = str(answer)
    elif answer.is_in_recovery:
        problems[PRIMARY] = "in recovery, so not the primary"
    else:
        return Found(guard.primary, 0.0, is_stale=False, is_fallback=True)
    return None


def _ask_promoted(
    guard: ReplicaGuard,
    budget: TokenBucket,
    request: ReadRequest,
    clock: Callable[[], float],
    problems: dict[str, str],
) -> Generator[Step, Answer, Found | None]:
    """Ask a former replica that was promoted while the primary is away: maybe the new primary, so within the budget."""
    if request.token is not None or not request.allow_stale:
        return None
    for server in guard.promoted():
        if not budget.take(clock()):
            problems[server.name] = "promoted, and the budget of reads on a primary is used up"
            return None
        answer = yield Enter(server, wants_position=False)
        if isinstance(answer, Glimpse):
            return Found(server, guard.staleness_s(server, answer), is_stale=True, is_fallback=True)
        problems[server.name] = str(answer)
    return None


def _ask_stale(
    guard: ReplicaGuard, request: ReadRequest, problems: dict[str, str], failed: set[str]
) -> Generator[Step, Answer, Found | None]:
    if request.token is not None or not request.allow_stale:
        return None
    for server in guard.stale_order():
        if server.name in failed:  # it would only be waited for once more
            continue
        answer = yield Enter(server, wants_position=not guard.has_heartbeat(server))
        if isinstance(answer, Glimpse) and answer.is_in_recovery:
            staleness_s = guard.staleness_s(server, answer)
            is_stale = staleness_s is None or staleness_s > request.max_staleness_s
            return Found(server, staleness_s, is_stale=is_stale, is_fallback=False)
        if isinstance(answer, Exception):
            problems[server.name] = str(answer)
    return None
