"""Tail Dagster's event log, and update the jobs by the events of their runs.

Polling alone is correct; a notification only makes the next poll come at once. Event ids are assigned before their
transaction commits, so a lower id may appear after a higher one: each poll rereads the last `OVERLAP_S`, and skips the events
that it has processed.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from background_jobs.dagster_bridge.dagster_client import DagsterClient
from background_jobs.dagster_bridge.run_outcome import RunOutcome, adopt_retry, apply_run_outcome
from background_jobs.store import Job, JobError, JobStore
from dbconnect.error_mapping import mapped_errors
from dbconnect.errors import SalespulseError
from dbconnect.routes import Connection
from dbsql import query

_logger = logging.getLogger(__name__)

OVERLAP_S = 10.0
_BATCH_EVENTS = 1000
# Dagster decides whether it retries a run just after it has recorded the failure.
_RETRY_DECISION_S = 3.0

_STATUS = {
    "PIPELINE_START": "STARTED",
    "PIPELINE_SUCCESS": "SUCCESS",
    "PIPELINE_FAILURE": "FAILURE",
    "PIPELINE_CANCELED": "CANCELED",
}


class DagsterEventTailer:
    """Reads the events of jobs' runs, and processes each once.

    Args:
        store: the job store.
        dagster: Dagster's runs.
        clock: monotonic seconds.
    """

    def __init__(self, store: JobStore, dagster: DagsterClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._dagster = dagster
        self._clock = clock
        self._floor: int | None = None
        self._newest: deque[tuple[float, int]] = deque()
        self._processed: set[int] = set()
        self._undecided: dict[int, float] = {}

    def step(self, storage: Connection) -> int:
        """Process new events; return their number.

        Args:
            storage: Dagster's database, autocommit.

        Raises:
            UnavailableError: the database does not answer. JobStoreUnavailableError: Redis does not. The next step
                processes the same events.
        """
        with mapped_errors("reading Dagster's events"):
            if self._floor is None:
                row = storage.execute(query("dagster_events.newest_event")).fetchone()
                self._floor = row["event_id"] if row is not None else 0
            rows = storage.execute(
                query("dagster_events.job_events"),
                {"after": self._floor, "row_limit": _BATCH_EVENTS + len(self._processed)},
            ).fetchall()
        new_rows = [row for row in rows if row["event_id"] not in self._processed]
        jobs = self._get_jobs(row["job_id"] for row in new_rows)
        count = 0
        for row in new_rows:
            job = jobs.get(row["job_id"])
            # Redis may have lost the job: the reconciler repeats this once it has been restored.
            if job is None or self._process_guarded(job, row):
                self._processed.add(row["event_id"])
                count += 1
        self._raise_floor(max((row["event_id"] for row in rows), default=self._floor))
        return count

    def _get_jobs(self, job_ids: Iterable[str]) -> dict[str, Job]:
        unique_ids = list(dict.fromkeys(job_ids))
        return {job.id: job for job in self._store.get_many(unique_ids) if job is not None} if unique_ids else {}

    def _process_guarded(self, job: Job, row: dict[str, Any]) -> bool:
        """Process an event; an unforeseen error leaves it to the reconciler, so that it holds up no other event."""
        try:
            return self._process(job, row)
        except (SalespulseError, JobError):
            raise
        except Exception:
            _logger.exception("job %s: event %s of its run can't be processed", job.id, row["event_type"])
            return True

    def _process(self, job: Job, row: dict[str, Any]) -> bool:
        """Update the job; return False if the event has to be processed again later."""
        outcome = RunOutcome.from_event(row, _STATUS.get(row["event_type"], ""))
        if outcome.status == "FAILURE" and outcome.will_retry is None and self._dagster.retries_enabled:
            since = self._undecided.setdefault(row["event_id"], self._clock())
            if self._clock() - since < _RETRY_DECISION_S:
                return False
        self._undecided.pop(row["event_id"], None)
        if row["event_type"] == "PIPELINE_ENQUEUED":
            parent = row["parent_run_id"]
            if parent is not None and row["retry_number"] is not None:
                adopt_retry(self._store, self._dagster, job.id, run_id=row["run_id"], parent_run_id=parent)
            return True
        if outcome.status != "STARTED":
            # An earlier event of this batch may have changed the job.
            job = self._store.get(job.id) or job
        apply_run_outcome(self._store, self._dagster, job, outcome)
        return True

    def _raise_floor(self, newest: int) -> None:
        """Set the floor to what was the newest event `OVERLAP_S` ago."""
        now = self._clock()
        self._newest.append((now, newest))
        while self._newest and now - self._newest[0][0] >= OVERLAP_S:
            _, self._floor = self._newest.popleft()
        floor = self._floor or 0
        self._processed = {event_id for event_id in self._processed if event_id > floor}
