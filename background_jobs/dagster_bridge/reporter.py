"""Tell the job store how a run gets on, from within the run. Never fails it and never slows it: one thread does the talking."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from background_jobs.store import JobError, JobStore, JobStoreUnavailableError
from dbconnect.errors import SettingsError

_LOG = logging.getLogger(__name__)

EVERY_S = 0.25
EVERY_PERCENT = 1.0
# A lease is renewed this many times in its length.
_BEATS_A_LEASE = 4
_BEAT_AT_MOST_S = 5.0
_AWAY_S = 1.0
# The end of a run waits this long for its last report to go out.
_FLUSH_S = 2.0


@dataclass(frozen=True)
class JobRun:
    """Which attempt of which job a run is.

    Attributes:
        job_id: of the job.
        run_id: Dagster's id of the run.
        attempt: from 1; None where the job store has to say (an automatic retry of Dagster's has its parent's tags).
        lease_s: how long the job store waits for a sign of life.
    """

    job_id: str
    run_id: str
    attempt: int | None
    lease_s: float = 30.0


class Reporter:
    """Progress, heartbeat, result, and the wish to cancel, of one run. Use it as a context.

    Progress goes out at most every `EVERY_S` seconds or `EVERY_PERCENT` percent, whatever comes in; the newest wins.
    """

    def __init__(
        self,
        run: JobRun | None,
        open_store: Callable[[], JobStore],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._attempt = run.attempt if run is not None else None
        self._open_store = open_store
        self._clock = clock
        self._changed = threading.Condition()
        self._news: dict[str, Any] = {}
        self._percent = 0.0
        self._sent_percent = 0.0
        self._is_closing = False
        self._is_asked_to_stop = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin the heartbeat."""
        if self._run is not None:
            self._thread = threading.Thread(target=self._talk, name="job reporter", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send what has not been sent, without waiting long."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_FLUSH_S)

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether the job is to be canceled, or another attempt has taken this one's place."""
        return self._is_asked_to_stop

    def progress(
        self,
        percent: float | None = None,
        *,
        step: str | None = None,
        message: str | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Say how far the run is.

        Args:
            percent: 0 to 100.
            step: what is going on, in a word or two.
            message: one sentence.
            counts: what was done so far, by name.
        """
        said = {"percent": percent, "step": step, "message": message, "counts": counts}
        with self._changed:
            self._news.update({name: value for name, value in said.items() if value is not None})
            if percent is not None:
                self._percent = percent
            self._changed.notify()

    def result(self, document: Mapping[str, Any]) -> None:
        """Give what the run made; shown with the job once it has succeeded."""
        with self._changed:
            self._news["result"] = dict(document)
            self._changed.notify()

    def _talk(self) -> None:
        """The thread: sends what is new, else a heartbeat."""
        run = self._run
        if run is None:
            return
        beat_s = min(_BEAT_AT_MOST_S, run.lease_s / _BEATS_A_LEASE) if run.lease_s else _BEAT_AT_MOST_S
        store: JobStore | None = None
        sent_at, pause_s, is_last = float("-inf"), 0.0, False
        while not is_last:
            news, is_last = self._wait(sent_at, beat_s, pause_s)
            sent_at = self._clock()
            try:
                store = store or self._open_store()
                self._send(store, run, news)
                pause_s = 0.0
            except JobStoreUnavailableError:
                pause_s = _AWAY_S
                self._give_back(news)
            except SettingsError as error:
                _LOG.warning("job %s: nothing is reported: %s", run.job_id, error)
                return
            except JobError:
                _LOG.exception("job %s: a report was refused", run.job_id)
        if store is not None:
            store.close()

    def _wait(self, sent_at: float, beat_s: float, pause_s: float) -> tuple[dict[str, Any], bool]:
        """Wait until something has to be sent; give it, and whether it is the last."""
        with self._changed:
            while not self._is_closing:
                since_s = self._clock() - sent_at
                is_far = self._percent - self._sent_percent >= EVERY_PERCENT
                due_s = (EVERY_S if not is_far else 0.0) if self._news else beat_s
                due_s = max(due_s, pause_s)
                if since_s >= due_s:
                    break
                self._changed.wait(due_s - since_s)
            news, self._news = self._news, {}
            self._sent_percent = self._percent
            return news, self._is_closing

    def _give_back(self, news: dict[str, Any]) -> None:
        with self._changed:
            self._news = news | self._news

    def _send(self, store: JobStore, run: JobRun, news: dict[str, Any]) -> None:
        if self._attempt is None:
            self._attempt = self._adopted_attempt(store, run)
            if self._attempt is None:
                self._give_back(news)
                return
        signal = store.report(run.job_id, self._attempt, **news)
        if signal.is_cancel_requested:
            self._is_asked_to_stop = True
        elif not signal.is_current:
            self._is_asked_to_stop = self._is_superseded(store, run)

    def _adopted_attempt(self, store: JobStore, run: JobRun) -> int | None:
        """Ask which attempt an automatic retry of Dagster's is; None until the bridge has adopted it."""
        job = store.get(run.job_id)
        if job is not None and job.is_ended:
            self._is_asked_to_stop = True
        return job.attempt if job is not None and job.run_id == run.run_id else None

    def _is_superseded(self, store: JobStore, run: JobRun) -> bool:
        """Whether another attempt has this one's place; a job that Redis has lost is none."""
        job = store.get(run.job_id)
        return job is not None and (job.is_ended or job.attempt > (self._attempt or 0))
