"""Report a run's progress to the job store, from within the run. Never fails the run, and never slows it: a thread sends."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from background_jobs.store import JobError, JobStore, JobStoreUnavailableError
from dbconnect.errors import SettingsError

_logger = logging.getLogger(__name__)

_INTERVAL_S = 0.25
_PERCENT_STEP = 1.0
_HEARTBEATS_PER_LEASE = 4
_HEARTBEAT_MAX_S = 5.0
_RETRY_DELAY_S = 1.0
# The run's end waits this long for the last report to be sent.
_FLUSH_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class JobRun:
    """The job and the attempt that a run works on.

    Attributes:
        job_id: the job's id.
        run_id: Dagster's id of the run.
        attempt: from 1; None for a retry by Dagster, whose tags are its parent's: the job store tells.
        lease_s: the longest time between two heartbeats, in seconds; 0 for no limit.
    """

    job_id: str
    run_id: str
    attempt: int | None
    lease_s: float = 30.0


class ProgressReporter:
    """Sends the progress, heartbeats and result of one run, and receives cancellation. Use it as a context manager.

    A report is sent every `_INTERVAL_S`, or when progress has advanced by `_PERCENT_STEP`; the newest values win.

    Args:
        run: what to report on; None reports nothing.
        open_store: returns the job store; called in the thread.
    """

    def __init__(self, run: JobRun | None, open_store: Callable[[], JobStore]) -> None:
        self._run = run
        self._attempt = run.attempt if run is not None else None
        self._open_store = open_store
        self._changed = threading.Condition()
        self._unsent: dict[str, Any] = {}
        self._percent = 0.0
        self._sent_percent = 0.0
        self._is_closing = False
        self._should_stop = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start the heartbeat."""
        if self._run is not None:
            self._thread = threading.Thread(
                target=self._send_reports, args=(self._run,), name="job reporter", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send what is unsent; wait `_FLUSH_TIMEOUT_S` at most."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_FLUSH_TIMEOUT_S)

    @property
    def should_stop(self) -> bool:
        """Whether the job is being canceled, or another attempt has replaced this one."""
        return self._should_stop

    def progress(
        self,
        percent: float | None = None,
        *,
        step: str | None = None,
        message: str | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Report progress; None leaves a value as it is.

        Args:
            percent: 0 to 100.
            step: what the run is doing, in a word or two.
            message: one sentence.
            counts: how much was done so far, by name.
        """
        values = {"percent": percent, "step": step, "message": message, "counts": counts}
        with self._changed:
            self._unsent.update({name: value for name, value in values.items() if value is not None})
            if percent is not None:
                self._percent = percent
            self._changed.notify()

    def result(self, document: Mapping[str, Any]) -> None:
        """Report the run's result, which the job shows once it has succeeded."""
        with self._changed:
            self._unsent["result"] = dict(document)
            self._changed.notify()

    def _send_reports(self, run: JobRun) -> None:
        """Send unsent values, else heartbeats, until the reporter is closed (the thread's target)."""
        heartbeat_s = min(_HEARTBEAT_MAX_S, run.lease_s / _HEARTBEATS_PER_LEASE) if run.lease_s else _HEARTBEAT_MAX_S
        store: JobStore | None = None
        sent_at, pause_s, is_last = float("-inf"), 0.0, False
        while not is_last:
            values, is_last = self._wait(sent_at, heartbeat_s, pause_s)
            sent_at = time.monotonic()
            try:
                store = store or self._open_store()
                self._send(store, run, values)
                pause_s = 0.0
            except JobStoreUnavailableError:
                pause_s = _RETRY_DELAY_S
                self._put_back(values)
            except SettingsError as error:
                _logger.warning("job %s: progress is not reported: %s", run.job_id, error)
                return
            except JobError:
                _logger.exception("job %s: the job store refused a report", run.job_id)
        if store is not None:
            store.close()

    def _wait(self, sent_at: float, heartbeat_s: float, pause_s: float) -> tuple[dict[str, Any], bool]:
        """Wait until a report is due; return its values, and whether it is the last."""
        with self._changed:
            while not self._is_closing:
                elapsed_s = time.monotonic() - sent_at
                has_advanced = self._percent - self._sent_percent >= _PERCENT_STEP
                due_s = (0.0 if has_advanced else _INTERVAL_S) if self._unsent else heartbeat_s
                due_s = max(due_s, pause_s)
                if elapsed_s >= due_s:
                    break
                self._changed.wait(due_s - elapsed_s)
            values, self._unsent = self._unsent, {}
            self._sent_percent = self._percent
            return values, self._is_closing

    def _put_back(self, values: dict[str, Any]) -> None:
        with self._changed:
            self._unsent = values | self._unsent

    def _send(self, store: JobStore, run: JobRun, values: dict[str, Any]) -> None:
        if self._attempt is None:
            self._attempt = self._adopted_attempt(store, run)
            if self._attempt is None:
                self._put_back(values)
                return
        reply = store.report(run.job_id, self._attempt, **values)
        if reply.is_cancel_requested:
            self._should_stop = True
        elif not reply.is_current:
            self._should_stop = self._is_superseded(store, run)

    def _adopted_attempt(self, store: JobStore, run: JobRun) -> int | None:
        """Return the attempt that Dagster's own retry is; None until the bridge has adopted the run."""
        job = store.get(run.job_id)
        if job is not None and job.is_ended:
            self._should_stop = True
        return job.attempt if job is not None and job.run_id == run.run_id else None

    def _is_superseded(self, store: JobStore, run: JobRun) -> bool:
        """Whether another attempt has replaced this one; not if Redis has lost the job."""
        job = store.get(run.job_id)
        return job is not None and (job.is_ended or job.attempt > (self._attempt or 0))
