"""Progress of long work: as lines in the run's log, and to the run's background job."""

import time
from collections.abc import Callable
from logging import Logger

from pipelines.refresh import RefreshResult
from pipelines.resources import RunReporter
from pipelines.verification.date_ranges import DateRange


def log_months(log: Logger) -> Callable[[DateRange, int, int], None]:
    """Give what a verification calls after each month: a line each."""

    def say(window: DateRange, number: int, total: int) -> None:
        log.info("%s compared: month %d of %d", f"{window.month:%Y-%m}", number, total)

    return say


def follow_months(
    reporter: RunReporter, then: Callable[[DateRange, int, int], None], *, after: float = 0.0
) -> Callable[[DateRange, int, int], None]:
    """Give what a verification calls after each month: the job hears of it, and may end it there.

    A verification is one transaction, so what was compared until then is undone with it.

    Args:
        reporter: of the run.
        then: called as well.
        after: the percentage that was reached before.
    """

    def say(window: DateRange, number: int, total: int) -> None:
        reporter.raise_if_canceled()
        percent = after + (100 - after) * number / total
        reporter.progress(
            percent, step="comparing", message=f"{window.month:%Y-%m} compared", counts={"months": number}
        )
        then(window, number, total)

    return say


def follow_refresh(
    reporter: RunReporter, then: Callable[[RefreshResult], None], *, upto: float = 100.0
) -> Callable[[RefreshResult], None]:
    """Give what a refresh calls after each transaction: the job hears of it, and may end it there, all left consistent.

    Args:
        reporter: of the run.
        then: called as well.
        upto: the percentage at which the refresh is done.
    """

    def say(result: RefreshResult) -> None:
        reporter.raise_if_canceled()
        done, left = result.applied.documents, result.pending_documents
        reporter.progress(
            upto * done / (done + left) if done + left else None,
            step="applying" if left else "looking for changes",
            message=f"{done:,} documents applied, {left:,} queued",
            counts={"documents": done, "lines": result.applied.lines, "queued": left},
        )
        then(result)

    return say


class ProgressLog:
    """Called after each transaction of a refresh; writes a line when something was applied, every few seconds at most.

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
        self._said_at = clock()
        self._said_documents = 0

    def __call__(self, result: RefreshResult) -> None:
        """Take in the sums so far."""
        documents, now = result.applied.documents, self._clock()
        if documents == self._said_documents or now - self._said_at < self._every_s:
            return
        rate = (documents - self._said_documents) / (now - self._said_at)
        of = f" of {self._total:,}" if self._total else ""
        self._log.info(
            f"{documents:,}{of} documents and {result.applied.lines:,} lines applied, {result.pending_documents:,} queued, "
            f"{rate:,.0f} documents/s"
        )
        self._said_at, self._said_documents = now, documents
