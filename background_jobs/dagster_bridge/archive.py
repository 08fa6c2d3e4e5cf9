"""Keep every job in the warehouse: tail the feed, and write what changed, with the place that was reached, in one transaction."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from background_jobs.store import Job, JobEvent, JobStore
from dbconnect.error_mapping import mapped_errors
from dbconnect.routes import Connection
from dbsql import query

READER = "archive"
AT_A_TIME = 500
PRUNED_AT_A_TIME = 10_000

# What wants to know of jobs in the transaction that archives them, such as an outbox: the connection, and the jobs
# with the state that each has reached (a job stands there once, as it is now).
Listener = Callable[[Connection, Sequence[Job]], None]


class Archiver:
    """Moves jobs from the feed to `salespulse.job_archive`. Several may run: one works, the others find nothing to do.

    Args:
        store: where the jobs are.
        listeners: called in the same transaction with the jobs whose state has changed.
    """

    def __init__(self, store: JobStore, listeners: Sequence[Listener] = ()) -> None:
        self._store = store
        self._listeners = tuple(listeners)

    def step(self, warehouse: Connection) -> int:
        """Archive what the feed has new; give how many events were taken in.

        Args:
            warehouse: as salespulse_pipeline, outside a transaction.

        Raises:
            UnavailableError: the warehouse is away. JobStoreUnavailableError: Redis is. The next step goes on where this one began.
        """
        epoch = self._store.epoch()
        if epoch is None:
            # Lost, and not rebuilt yet: there is no feed to speak of.
            return 0
        with mapped_errors("archiving jobs"), warehouse.transaction():
            place = warehouse.execute(query("job_archive.lock_position"), {"reader": READER}).fetchone()
            if place is None:
                warehouse.execute(query("job_archive.begin_position"), {"reader": READER})
                return 0
            after = place["feed_id"] if place["epoch"] == epoch else "0-0"
            events = self._store.feed(after, limit=AT_A_TIME)
            if not events:
                return 0
            self._write(warehouse, events)
            warehouse.execute(
                query("job_archive.move_position"), {"reader": READER, "epoch": epoch, "feed_id": events[-1].feed_id}
            )
        return len(events)

    def _write(self, warehouse: Connection, events: Sequence[JobEvent]) -> None:
        changed = list(dict.fromkeys(event.job_id for event in events if event.type == "state"))
        if not changed:
            return
        jobs = [job for job in self._store.get_many(changed) if job is not None]
        for job in jobs:
            archive(warehouse, job)
        for listener in self._listeners:
            listener(warehouse, jobs)


def archive(warehouse: Connection, job: Job) -> None:
    """Write one job, unless a newer picture of it is there."""
    warehouse.execute(
        query("job_archive.archive"),
        {
            "job_id": job.id,
            "tenant_id": job.tenant,
            "kind": job.kind,
            "state": job.state.value,
            "code": job.code,
            "attempt": job.attempt,
            "seq": job.seq,
            "created_at": _moment(job.created_ms),
            "ended_at": None if job.ended_ms is None else _moment(job.ended_ms),
            "record": json.dumps(job.as_document()),
        },
    )


def archived_jobs(warehouse: Connection, *, ended_since: datetime) -> list[Job]:
    """Give the jobs that had not ended when they were last seen, and those that ended since, oldest first."""
    rows = warehouse.execute(query("job_archive.list_live"), {"ended_since": ended_since}).fetchall()
    return [Job.from_document(row["record"]) for row in rows]


def prune_archive(warehouse: Connection, *, keep_days: float, now: datetime | None = None) -> int:
    """Delete jobs that ended longer ago than this; give how many."""
    before = (now or datetime.now(UTC)) - timedelta(days=keep_days)
    deleted = 0
    while True:
        rows = warehouse.execute(query("job_archive.prune"), {"before": before, "most": PRUNED_AT_A_TIME}).rowcount
        deleted += rows
        if rows < PRUNED_AT_A_TIME:
            return deleted


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
