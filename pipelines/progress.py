"""Progress of long work, in the run's log and to the run's background job."""

import time
from collections.abc import Callable
from logging import Logger

from pipelines.refresh import RefreshResult
from pipelines.resources import RunReporter
from pipelines.verification.date_ranges import DateRange


def follow_months(reporter: RunReporter, log: Logger, *, after: float = 0.0) -> Callable[[DateRange, int, int], None]:
    """Return a callback for a verification that logs each month, and reports it to the job.

    If the job is canceled it ends the run: a verification is one transaction, so what it applied is rolled back.

    Args:
        reporter: of the run.
        log: of the run.
        after: the percentage that was reached before.
    """

    def report(window: DateRange, number: int, total: int) -> None:
        reporter.raise_if_canceled()
        percent = after + (100 - after) * number / total
        month = f"{window.month:%Y-%m}"
        reporter.progress(percent, step="comparing", message=f"{month} compared", counts={"months": number})
        log.info("%s compared: month %d of %d", month, number, total)

    return report


def follow_refresh(
    reporter: RunReporter, then: Callable[[RefreshResult], None], *, up_to: float = 100.0
) -> Callable[[RefreshResult], None]:
    """Return a callback for a refresh that reports each transaction to the job, and ends the run if the job is canceled.

    Args:
        reporter: of the run.
        then: called as well.
        up_to: the percentage at which the refresh is done.
    """

    def report(result: RefreshResult) -> None:
        reporter.raise_if_canceled()
        done, left = result.applied.documents, result.pending_documents
        reporter.progress(
            up_to * done / (done + left) if done + left else None,
            step="applying" if left else "polling for changes",
            message=f"{done:,} documents applied, {left:,} queued",
            counts={"documents": done, "lines": result.applied.lines, "queued": left},
        )
        then(result)

    return report


class ProgressLog:
    """A callback for a refresh that logs what was applied, at most every few seconds.

    Each line is a row of Dagster's event log, so a refresh that drains for minutes must not write one per transaction.
    """

    def __init__(
        self,
        log: Logger,
        *,
        total: int | None = None,
        every_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._total = total
        self._every_s = every_s
        self._clock = clock
        self._logged_at = clock()
        self._logged_documents = 0

    def __call__(self, result: RefreshResult) -> None:
        """Log the sums so far."""
        documents, now = result.applied.documents, self._clock()
        if documents == self._logged_documents or now - self._logged_at < self._every_s:
            return
        rate = (documents - self._logged_documents) / (now - self._logged_at)
        of = f" of {self._total:,}" if self._total else ""
        self._log.info(
            f"{documents:,}{of} documents and {result.applied.lines:,} lines applied, {result.pending_documents:,} queued, "
            f"{rate:,.0f} documents/s"
        )
        self._logged_at, self._logged_documents = now, documents
