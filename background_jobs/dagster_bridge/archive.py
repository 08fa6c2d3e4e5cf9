"""Archive jobs in the warehouse: read the job store's feed, and write changed jobs and the feed position in one transaction."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from background_jobs.store import Job, JobEvent, JobStore
from dbconnect.error_mapping import mapped_errors
from dbconnect.routes import Connection
from dbsql import query

READER = "archive"
_BATCH_EVENTS = 500
_BATCH_ROWS = 10_000

# Called in the transaction that archives jobs, such as to fill an outbox: the connection, and each changed job once, as it
# is now.
ArchiveListener = Callable[[Connection, Sequence[Job]], None]


class Archiver:
    """Copies jobs to `salespulse.job_archive`. Several may run: one works, the others find nothing to do.

    Args:
        store: the job store.
        listeners: called in the same transaction with the jobs whose state has changed.
    """

    def __init__(self, store: JobStore, listeners: Sequence[ArchiveListener] = ()) -> None:
        self._store = store
        self._listeners = tuple(listeners)

    def step(self, warehouse: Connection) -> int:
        """Archive the jobs of the feed's next events; return the number of events.

        Args:
            warehouse: as salespulse_pipeline, outside a transaction.

        Raises:
            UnavailableError: the warehouse does not answer. JobStoreUnavailableError: Redis does not. The next step repeats this.
        """
        epoch = self._store.epoch()
        if epoch is None:
            # Redis has lost its data, and the jobs are not restored yet.
            return 0
        with mapped_errors("archiving jobs"), warehouse.transaction():
            position = warehouse.execute(query("job_archive.lock_position"), {"reader": READER}).fetchone()
            if position is None:
                warehouse.execute(query("job_archive.begin_position"), {"reader": READER})
                return 0
            after = position["feed_id"] if position["epoch"] == epoch else "0-0"
            events = self._store.feed(after, limit=_BATCH_EVENTS)
            if not events:
                return 0
            self._write(warehouse, events)
            warehouse.execute(
                query("job_archive.move_position"), {"reader": READER, "epoch": epoch, "feed_id": events[-1].feed_id}
            )
        return len(events)

    def _write(self, warehouse: Connection, events: Sequence[JobEvent]) -> None:
        job_ids = list(dict.fromkeys(event.job_id for event in events if event.type == "state"))
        if not job_ids:
            return
        jobs = [job for job in self._store.get_many(job_ids) if job is not None]
        for job in jobs:
            archive(warehouse, job)
        for listener in self._listeners:
            listener(warehouse, jobs)


def archive(warehouse: Connection, job: Job) -> None:
    """Write one job, unless the archive has a newer version of it."""
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
            "created_at": _timestamp(job.created_ms),
            "ended_at": None if job.ended_ms is None else _timestamp(job.ended_ms),
            "record": json.dumps(job.as_document()),
        },
    )


def archived_jobs(warehouse: Connection, *, ended_since: datetime) -> list[Job]:
    """Return the jobs that are live in the archive, and those that ended since `ended_since`, oldest first."""
    rows = warehouse.execute(query("job_archive.list_live"), {"ended_since": ended_since}).fetchall()
    return [Job.from_document(row["record"]) for row in rows]


def prune_archive(warehouse: Connection, *, keep_days: float, now: datetime | None = None) -> int:
    """Delete jobs that ended more than `keep_days` days ago; return their number."""
    before = (now or datetime.now(UTC)) - timedelta(days=keep_days)
    deleted = 0
    while True:
        rows = warehouse.execute(query("job_archive.prune"), {"before": before, "row_limit": _BATCH_ROWS}).rowcount
        deleted += rows
        if rows < _BATCH_ROWS:
            return deleted


def _timestamp(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
