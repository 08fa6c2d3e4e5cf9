"""The archive: jobs are copied to the warehouse once, visible to their tenant alone, and can be restored from it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from background_jobs.dagster_bridge.archive import Archiver, archived_jobs, prune_archive
from background_jobs.store import Caps, FailureCode, Job, JobState, JobStore, Submission
from dbconnect.routes import Connection
from dbsql import query
from tests.servers import redis_servers
from tests.warehouse import Installation, one


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    with redis_servers.one(tmp_path) as server:
        job_store = JobStore(redis.Redis(port=server.port))
        job_store.begin_epoch()
        yield job_store
        job_store.close()


@pytest.fixture
def warehouse(installation: Installation) -> Connection:
    """With two tenants, `a` and `b`."""
    installation.admin().execute("INSERT INTO salespulse.dim_tenant (tenant_id, name) VALUES ('a', 'A'), ('b', 'B')")
    return installation.route("salespulse_pipeline")


def drain(archiver: Archiver, warehouse: Connection) -> int:
    # The first step makes the reader's row.
    return sum(iter(lambda: archiver.step(warehouse), 0)) + sum(iter(lambda: archiver.step(warehouse), 0))


def submit_and_succeed(store: JobStore, tenant: str) -> Job:
    store.submit(Submission(kind="k", tenant=tenant, params={"n": 1}))
    (claim,) = store.claim(limit=1, caps=Caps())
    job = store.succeed(claim.job.id, 1, result={"rows": 2}).job
    assert job is not None
    return job


def test_a_job_is_archived_whole_and_listeners_are_called_once(store: JobStore, warehouse: Connection) -> None:
    ended_jobs: list[Job] = []

    def listen(connection: Connection, jobs: Sequence[Job]) -> None:
        assert connection is warehouse
        ended_jobs.extend(job for job in jobs if job.is_ended)

    job = submit_and_succeed(store, "a")
    archiver = Archiver(store, [listen])
    assert drain(archiver, warehouse) > 0
    assert archiver.step(warehouse) == 0
    assert ended_jobs == [job]
    assert archived_jobs(warehouse, ended_since=datetime.now(UTC) - timedelta(minutes=1)) == [job]


def test_a_message_with_a_nul_is_archived_too(store: JobStore, warehouse: Connection) -> None:
    store.submit(Submission(kind="k", tenant="a", params={"note": "a\0b"}))
    (claim,) = store.claim(limit=1, caps=Caps())
    job = store.fail(claim.job.id, 1, FailureCode.STEP_FAILURE, "tore \0 apart", may_retry=False).job
    assert drain(Archiver(store), warehouse) > 0
    assert archived_jobs(warehouse, ended_since=datetime.now(UTC) - timedelta(minutes=1)) == [job]


def test_an_error_of_a_listener_rolls_back_and_the_step_is_repeated(store: JobStore, warehouse: Connection) -> None:
    def refuse(connection: Connection, jobs: Sequence[Job]) -> None:
        raise RuntimeError

    submit_and_succeed(store, "a")
    assert Archiver(store).step(warehouse) == 0
    with pytest.raises(RuntimeError):
        Archiver(store, [refuse]).step(warehouse)
    assert one(warehouse, "SELECT count(*) FROM salespulse.job_archive") == 0
    assert Archiver(store).step(warehouse) > 0
    assert one(warehouse, "SELECT count(*) FROM salespulse.job_archive") == 1


def test_a_tenant_sees_its_own_jobs_alone(store: JobStore, warehouse: Connection, installation: Installation) -> None:
    mine, _, _ = submit_and_succeed(store, "a"), submit_and_succeed(store, "b"), submit_and_succeed(store, "")
    drain(Archiver(store), warehouse)
    dashboard = installation.route("salespulse_dashboard")
    everything = "SELECT job_id::text FROM salespulse.job_archive"
    assert dashboard.execute(everything).fetchall() == []
    with dashboard.transaction():
        key = dashboard.execute("SELECT salespulse.tenant_key_of('a') AS key").fetchone()
        assert key is not None
        dashboard.execute("SELECT set_config('salespulse.tenant_key', %s, true)", [str(key["key"])])
        assert dashboard.execute(everything).fetchall() == [{"job_id": mine.id}]
        row = dashboard.execute(query("job_archive.find"), {"job_id": mine.id}).fetchone()
    assert row is not None
    assert Job.from_document(row["record"]) == mine


def test_old_jobs_are_pruned(store: JobStore, warehouse: Connection) -> None:
    submit_and_succeed(store, "a")
    drain(Archiver(store), warehouse)
    assert prune_archive(warehouse, keep_days=30) == 0
    assert prune_archive(warehouse, keep_days=30, now=datetime.now(UTC) + timedelta(days=31)) == 1


def test_a_new_epochs_feed_is_read_from_its_beginning(store: JobStore, warehouse: Connection) -> None:
    submit_and_succeed(store, "a")
    drain(Archiver(store), warehouse)
    store._client.flushall()
    assert Archiver(store).step(warehouse) == 0
    store.begin_epoch()
    job = submit_and_succeed(store, "b")
    drain(Archiver(store), warehouse)
    assert {each.id for each in archived_jobs(warehouse, ended_since=datetime.fromtimestamp(0, UTC))} >= {job.id}
    assert job.state is JobState.SUCCEEDED
