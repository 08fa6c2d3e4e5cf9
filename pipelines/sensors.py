"""The sensor that turns a committed change into a refresh within a fraction of a second.

Dagster starts ticks 5 s apart at best, so a tick itself polls. What is pending is read from the databases every time; the
cursor only keeps the same request from being made twice.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import dagster as dg

from background_jobs.dagster_bridge.job_store import request_refresh
from background_jobs.dagster_bridge.run_tags import is_draining
from dbsql import query
from pipelines.assets.source import observe_assets
from pipelines.failures import as_dagster_failure
from pipelines.jobs import refresh_job
from pipelines.refresh import Connections
from pipelines.refresh.observe import SourceObservation, advance_as_of, observe_source
from pipelines.resources import Primary, Replica, Warehouse, open_routes

POLL_S = 0.25
TICK_S = 20.0
OBSERVE_EVERY_S = 60.0
# The same changes still pending this long after the run that was to apply them: it failed, so another one is requested;
# after twice as long the next time, and so on up to the schedule's ten minutes.
RETRY_S = 15.0
RETRY_MAX_S = 600.0


@dataclass(frozen=True)
class Cursor:
    """What a tick passes on to the next.

    Attributes:
        pending: what the last requested run was to apply.
        attempt: how many runs were requested for it.
        requested_s: when the last one was (Unix time).
        observed_s: when the source assets were last reported on (Unix time).
    """

    pending: str = ""
    attempt: int = 0
    requested_s: float = 0.0
    observed_s: float = 0.0

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """Parse a cursor; a malformed one, as after an upgrade or a reset by hand, counts as none."""
        try:
            return cls(**json.loads(text or "{}"))
        except (ValueError, TypeError):
            return cls()

    def format(self) -> str:
        """Return the text that Dagster stores."""
        return json.dumps(asdict(self))


def pending_key(observation: SourceObservation) -> str | None:
    """Return a key of what is pending; None when nothing is.

    The newest visible change that is not applied yet, never the horizon: that stands still while a transaction stays open.
    A change is applied once, so two different sets of pending changes have different keys. The queue may have the same
    length again, hence `as_of`, which moves on only when all is applied.
    """
    if not observation.is_pending:
        return None
    if observation.as_of is None:
        return "first refresh"
    parts = []
    if observation.pending_changes:
        parts.append(f"change {observation.newest_change_id}")
    if observation.queued_documents:
        parts.append(f"queue {observation.queued_documents} at {observation.as_of.isoformat()}")
    return " ".join(parts) or None


def next_request(
    cursor: Cursor, observation: SourceObservation, *, is_draining: Callable[[], bool], now_s: float
) -> Cursor | None:
    """Return the cursor of a run to request, or None.

    Args:
        cursor: what was requested before.
        observation: of the source, now.
        is_draining: whether a run that applies everything pending is queued or started; called only if something is.
        now_s: Unix time.
    """
    pending = pending_key(observation)
    if pending is None:
        return None
    is_known = pending == cursor.pending
    retry_after_s = min(RETRY_S * 2 ** (cursor.attempt - 1), RETRY_MAX_S)
    if (is_known and now_s - cursor.requested_s < retry_after_s) or is_draining():
        return None
    attempt = cursor.attempt + 1 if is_known else 1
    return Cursor(pending=pending, attempt=attempt, requested_s=now_s, observed_s=cursor.observed_s)


def tick(
    connections: Connections,
    cursor: Cursor,
    *,
    is_draining: Callable[[], bool],
    submit: Callable[[], str | None],
    clock: Callable[[], float] = time.time,
    wait: Callable[[float], object] = time.sleep,
    tick_s: float = TICK_S,
) -> dg.SensorResult:
    """Poll every `POLL_S` for `tick_s`, and submit a refresh to the job store whenever one is needed.

    Where the job store does not take it, the tick ends with a run request. Moves `as_of` on when nothing is pending, and
    reports on the source assets every `OBSERVE_EVERY_S`.

    Args:
        connections: to the three servers.
        cursor: of the last tick.
        is_draining: whether a run that applies everything pending is queued or started.
        submit: submits a refresh to the job store; returns the job's id, or None where Dagster has to run it.
        clock: Unix time.
        wait: waits a number of seconds.
        tick_s: how long to poll.
    """
    ends_s = clock() + tick_s
    jobs: list[str] = []
    while True:
        now_s = clock()
        observation = observe_source(connections)
        request = next_request(cursor, observation, is_draining=is_draining, now_s=now_s)
        if request is not None and (job_id := submit()) is not None:
            jobs.append(job_id)
            cursor, request = request, None
        if request is not None or now_s + POLL_S >= ends_s:
            break
        wait(POLL_S)
    if request is None:
        advance_as_of(connections, observation)
    cursor = request or cursor
    events: list[dg.AssetObservation] = []
    if now_s - cursor.observed_s >= OBSERVE_EVERY_S:
        events = observe_assets(connections)
        cursor = Cursor(**{**asdict(cursor), "observed_s": now_s})
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"{request.pending} attempt {request.attempt}")] if request else [],
        skip_reason=None if request else dg.SkipReason(_describe(jobs, tick_s)),
        cursor=cursor.format(),
        asset_events=events,
    )


def _describe(jobs: list[str], tick_s: float) -> str:
    return f"submitted as job {', '.join(dict.fromkeys(jobs))}" if jobs else f"nothing new in {tick_s:g} s"


@dg.sensor(
    job=refresh_job,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a refresh as soon as a change is pending on the replica and no run is applying it already.",
)
def refresh_sensor(
    context: dg.SensorEvaluationContext, replica: Replica, warehouse: Warehouse, primary: Primary
) -> dg.SensorResult:
    """See `tick`."""
    with as_dagster_failure("polling for changes"), open_routes(replica, warehouse, primary) as connections:
        if not connections.replica.execute(query("source.list_views")).fetchall():
            return dg.SensorResult(skip_reason="no application is mapped yet: run `salespulse source install`")

        def draining() -> bool:
            return is_draining(context.instance)

        def submit() -> str | None:
            return request_refresh(subject="sensor", is_draining=draining)

        return tick(connections, Cursor.parse(context.cursor), is_draining=draining, submit=submit)
