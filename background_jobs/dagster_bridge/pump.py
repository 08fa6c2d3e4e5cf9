"""The event pump: follows Dagster's event log, and tells the job store.

A poll is the contract; a notification only makes it come at once. Ids are given out before a transaction commits, so that a lower id may
appear after a higher one: each poll asks again for the last `OVERLAP_S`, and passes over what it had.
"""

import json
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from background_jobs.dagster_bridge.outcome import Outcome, fail, settle
from background_jobs.dagster_bridge.runs import Runs
from background_jobs.store import Job, JobError, JobState, JobStore
from dbconnect.error_mapping import mapped_errors
from dbconnect.errors import SalespulseError
from dbconnect.routes import Connection
from dbsql import query

_LOG = logging.getLogger(__name__)

OVERLAP_S = 10.0
AT_A_TIME = 1000
# Dagster decides whether it retries a run just after it has noted the failure.
_UNDECIDED_S = 3.0

_STATUS = {
    "PIPELINE_START": "STARTED",
    "PIPELINE_SUCCESS": "SUCCESS",
    "PIPELINE_FAILURE": "FAILURE",
    "PIPELINE_CANCELED": "CANCELED",
}


class EventPump:
    """Reads the events of the runs that belong to jobs, each once.

    Args:
        store: where the jobs are.
        runs: Dagster's.
        clock: seconds that only rise.
    """

    def __init__(self, store: JobStore, runs: Runs, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._runs = runs
        self._clock = clock
        self._seen: set[int] = set()
        self._reached: deque[tuple[float, int]] = deque()
        self._floor: int | None = None
        self._undecided: dict[int, float] = {}

    def step(self, storage: Connection) -> int:
        """Take in what is new; give how many events that was.

        Args:
            storage: to Dagster's database, autocommit.

        Raises:
            UnavailableError: the database, or Redis, is away; nothing is lost, the next step takes it in.
        """
        with mapped_errors("reading Dagster's events"):
            if self._floor is None:
                row = storage.execute(query("dagster_events.newest_event")).fetchone()
                self._floor = row["event_id"] if row is not None else 0
            rows = storage.execute(
                query("dagster_events.job_events"), {"after": self._floor, "most": AT_A_TIME + len(self._seen)}
            ).fetchall()
        fresh = [row for row in rows if row["event_id"] not in self._seen]
        jobs = self._jobs([row["job_id"] for row in fresh])
        handled = 0
        for row in fresh:
            job = jobs.get(row["job_id"])
            # Of a job that Redis does not know nothing can be said; the reconciliation says it when it is back.
            if job is None or self._take_guarded(job, row):
                self._seen.add(row["event_id"])
                handled += 1
        self._move(max((row["event_id"] for row in rows), default=self._floor))
        return handled

    def _jobs(self, job_ids: list[str]) -> dict[str, Job]:
        wanted = list(dict.fromkeys(job_ids))
        return {job.id: job for job in self._store.get_many(wanted) if job is not None} if wanted else {}

    def _take_guarded(self, job: Job, row: dict[str, Any]) -> bool:
        """Take an event in; one that fails for an unforeseen reason is left to the reconciliation, and holds up no other."""
        try:
            return self._take(job, row)
        except (SalespulseError, JobError):
            raise
        except Exception:  # noqa: BLE001 - see above
            _LOG.exception("job %s: event %s of its run can't be taken in", job.id, row["event_type"])
            return True

    def _take(self, job: Job, row: dict[str, Any]) -> bool:
        """Tell the job store; False where the event has to be looked at again."""
        outcome = _outcome(row)
        if outcome.status == "FAILURE" and outcome.will_retry is None and self._runs.retries:
            since = self._undecided.setdefault(row["event_id"], self._clock())
            if self._clock() - since < _UNDECIDED_S:
                return False
        self._undecided.pop(row["event_id"], None)
        if row["event_type"] == "PIPELINE_ENQUEUED":
            if row["parent_run_id"] is not None and row["retry_number"] is not None:
                adopt_retry(self._store, self._runs, job.id, run_id=row["run_id"], parent_run_id=row["parent_run_id"])
            return True
        if outcome.status != "STARTED":
            # An earlier event of this batch may have moved it on.
            job = self._store.get(job.id) or job
        settle(self._store, self._runs, job, outcome)
        return True

    def _move(self, reached: int) -> None:
        """Raise the floor to what was the newest event `OVERLAP_S` ago, unless something there is still undecided."""
        now = self._clock()
        self._reached.append((now, reached))
        while self._reached and now - self._reached[0][0] >= OVERLAP_S:
            _, self._floor = self._reached.popleft()
        floor = self._floor or 0
        self._seen = {event_id for event_id in self._seen if event_id > floor}


def adopt_retry(store: JobStore, runs: Runs, job_id: str, *, run_id: str, parent_run_id: str) -> None:
    """Make a run that Dagster began by itself, to repeat a failed one, the next attempt of the job; stop it where that can't be."""
    job = store.get(job_id)
    if job is not None and job.run_id == run_id:
        return
    if job is not None and job.run_id == parent_run_id and job.state is not JobState.RETRYING and not job.is_ended:
        job = fail(store, job, job.attempt, runs.failure(parent_run_id), at_ms=None, is_repeated=True)
    if job is not None and job.state is JobState.RETRYING:
        change = store.adopt(job_id, job.attempt - 1, run_id)
        if change.applied:
            return
        job = change.job
    if job is not None:
        runs.ask_to_stop(run_id)


def _outcome(row: dict[str, Any]) -> Outcome:
    return Outcome(
        run_id=row["run_id"],
        status=_STATUS.get(row["event_type"], ""),
        at_ms=row["at_ms"],
        attempt=int(row["attempt"]) if row["attempt"] is not None and row["retry_number"] is None else None,
        result=json.loads(row["result"]) if row["result"] is not None else None,
        will_retry=None if row["will_retry"] is None else row["will_retry"] == "true",
    )
