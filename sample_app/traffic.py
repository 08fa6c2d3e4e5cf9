"""Live traffic: several sessions that sell, edit, return, delete, hold transactions open and roll back, at a steady rate."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import Connection

from dbsql import query
from sample_app.errors import TrafficError
from sample_app.traffic_operations import OPERATIONS, Catalog, NoStoreError, Work
from sample_app.traffic_plan import Operation, plan

_logger = logging.getLogger(__name__)

# Behind by more than this, the schedule moves instead of a burst making up for it.
_LATEST_S = 2.0
_BACKOFF_S = (0.1, 5.0)
_REPORT_EVERY_S = 0.5
# Another session was faster; an application lives with it.
_CONFLICTS = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.ForeignKeyViolation,
)


@dataclass(slots=True)
class TrafficReport:
    """Counts of the traffic. `counts` has committed operations by kind; a transaction may hold several."""

    seconds: float = 0.0
    transactions: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    rolled_back: int = 0
    held_open: int = 0
    savepoints: int = 0
    without_row: int = 0
    conflicts: int = 0
    lost_connections: int = 0
    slipped_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Every field by name."""
        return {**asdict(self), "counts": dict(sorted(self.counts.items()))}


def run_traffic(
    url: str,
    *,
    rate_per_s: float,
    seed: int,
    sessions: int,
    stop: threading.Event,
    progress: Callable[[TrafficReport], None] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> TrafficReport:
    """Make traffic until `stop` is set; then every session ends its transaction and closes.

    The operations and their order follow from the seed; the rows that they change depend on the database. A lost
    connection is opened again, with growing pauses, and logged.

    Args:
        url: the application's database, as a role that may write its tables.
        rate_per_s: transactions a second, over all sessions.
        seed: another seed, other traffic.
        sessions: connections. One in a hundred transactions stays open for seconds, so have a few.
        stop: ends the run; set here, too, when a session fails for good.
        progress: called about twice a second with the counts so far.
        clock: what "now" is for new sales.

    Raises:
        TrafficError: a number is not positive, the database can't be reached at the start, it holds no store, or a
            statement fails for good.
    """
    if rate_per_s <= 0 or sessions < 1:
        raise TrafficError(f"traffic needs a rate above 0 and a session, not {rate_per_s} and {sessions}")
    try:
        _connect(url).close()
    except psycopg.OperationalError as error:
        raise TrafficError(f"the application's database can't be reached: {error}") from error
    run = _Run(url, rate_per_s, seed, sessions, stop, clock)
    threads = [threading.Thread(target=run.session, name=f"traffic-{n}") for n in range(sessions)]
    for thread in threads:
        thread.start()
    while not stop.wait(_REPORT_EVERY_S):
        if progress:
            progress(run.snapshot())
    for thread in threads:
        thread.join()
    if run.failure is not None:
        raise run.failure
    return run.snapshot()


class _Run:
    """What the sessions share: the schedule, the counts, the first failure."""

    def __init__(
        self,
        url: str,
        rate_per_s: float,
        seed: int,
        sessions: int,
        stop: threading.Event,
        clock: Callable[[], datetime],
    ) -> None:
        self.url = url
        self.stop = stop
        self.clock = clock
        self.failure: TrafficError | None = None
        self._seed = seed
        self._interval_s = 1 / rate_per_s
        self._lock = threading.Lock()
        self._number = 0
        self._started = self._due = time.monotonic()
        self._report = TrafficReport()
        # One session at least stays free of held transactions, or the rate could not be kept.
        self._may_hold = threading.BoundedSemaphore(max(1, sessions - 1))

    def snapshot(self) -> TrafficReport:
        with self._lock:
            return TrafficReport(
                **{**asdict(self._report), "counts": Counter(self._report.counts)}
                | {"seconds": time.monotonic() - self._started}
            )

    def session(self) -> None:
        """Run one session: connect, work, connect again when the connection is lost."""
        catalog = Catalog()
        pause_s = _BACKOFF_S[0]
        while not self.stop.is_set():
            try:
                with _connect(self.url) as connection:
                    pause_s = _BACKOFF_S[0]
                    while (operation := self._next()) is not None:
                        self._perform(connection, operation, catalog)
            except psycopg.OperationalError as error:
                self._count(lost_connections=1)
                _logger.warning("a session ended (%s); it connects again in %.1f s", str(error).strip(), pause_s)
                self.stop.wait(pause_s)
                pause_s = min(pause_s * 2, _BACKOFF_S[1])
            except NoStoreError:
                self._fail("there is no store to sell in. Load some sales first: `salespulse load retail <file>`.")
            except psycopg.Error as error:
                self._fail(f"a statement failed: {str(error).strip()}")

    def _next(self) -> Operation | None:
        with self._lock:
            number, due = self._number, self._due
            late_s = time.monotonic() - due
            if late_s > _LATEST_S:
                due += late_s
                self._report.slipped_s += late_s
            self._number += 1
            self._due = due + self._interval_s
        if self.stop.wait(max(0.0, due - time.monotonic())):
            return None
        return plan(self._seed, number)

    def _perform(self, connection: Connection[Any], operation: Operation, catalog: Catalog) -> None:
        done: list[str] = []
        holds = operation.held_s > 0 and self._may_hold.acquire(blocking=False)
        try:
            with connection.transaction(force_rollback=operation.is_rolled_back), connection.cursor() as cursor:
                cursor.execute(query("retail_traffic.limit_lock_wait"))
                work = Work(cursor, operation.random, self.clock(), catalog)
                if operation.has_savepoint:
                    with connection.transaction(force_rollback=True):
                        OPERATIONS["sale"](work)
                done = [kind for kind in operation.kinds if OPERATIONS[kind](work)]
                if holds:
                    self.stop.wait(operation.held_s)
        except _CONFLICTS:
            catalog.forget()
            self._count(conflicts=1, transactions=1)
            return
        finally:
            if holds:
                self._may_hold.release()
        self._count(
            transactions=1,
            rolled_back=int(operation.is_rolled_back),
            held_open=int(holds),
            savepoints=int(operation.has_savepoint),
            without_row=len(operation.kinds) - len(done),
        )
        if not operation.is_rolled_back:
            with self._lock:
                self._report.counts.update(done)

    def _count(self, **numbers: int) -> None:
        with self._lock:
            for name, number in numbers.items():
                setattr(self._report, name, getattr(self._report, name) + number)

    def _fail(self, message: str) -> None:
        with self._lock:
            self.failure = self.failure or TrafficError(message)
        self.stop.set()


def _connect(url: str) -> Connection[Any]:
    return psycopg.connect(
        url, autocommit=True, prepare_threshold=None, application_name="salespulse traffic", connect_timeout=5
    )
