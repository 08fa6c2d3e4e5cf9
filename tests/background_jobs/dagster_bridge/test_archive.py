"""The archive: what the feed says ends in the warehouse, once, for the tenant alone; and Redis is filled from it again."""

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
        made = JobStore(redis.Redis(port=server.port))
        made.begin_epoch()
        yield made
        made.close()


@pytest.fixture
def warehouse(installation: Installation) -> Connection:
    """With two tenants, `a` and `b`."""
    installation.admin().execute("INSERT INTO salespulse.dim_tenant (tenant_id, name) VALUES ('a', 'A'), ('b', 'B')")
    return installation.route("salespulse_pipeline")


def drain(archiver: Archiver, warehouse: Connection) -> int:
    # The first step makes the reader's row.
    return sum(iter(lambda: archiver.step(warehouse), 0)) + sum(iter(lambda: archiver.step(warehouse), 0))


def ended(store: JobStore, tenant: str) -> Job:
    store.submit(Submission(kind="k", tenant=tenant, params={"n": 1}))
    (claim,) = store.claim(most=1, caps=Caps())
    job = store.succeed(claim.job.id, 1, result={"rows": 2}).job
    assert job is not None
    return job


def test_a_job_is_archived_whole_and_told_once(store: JobStore, warehouse: Connection) -> None:
    told: list[Job] = []

    def listen(connection: Connection, jobs: Sequence[Job]) -> None:
        assert connection is warehouse
        told.extend(job for job in jobs if job.is_ended)

    job = ended(store, "a")
    archiver = Archiver(store, [listen])
    assert drain(archiver, warehouse) > 0
    assert archiver.step(warehouse) == 0
    assert told == [job]
    assert archived_jobs(warehouse, ended_since=datetime.now(UTC) - timedelta(minutes=1)) == [job]


def test_a_message_with_a_nul_is_archived_too(store: JobStore, warehouse: Connection) -> None:
    store.submit(Submission(kind="k", tenant="a", params={"note": "a\0b"}))
    (claim,) = store.claim(most=1, caps=Caps())
    job = store.fail(claim.job.id, 1, FailureCode.STEP_FAILURE, "tore \0 apart", may_retry=False).job
    assert drain(Archiver(store), warehouse) > 0
    assert archived_jobs(warehouse, ended_since=datetime.now(UTC) - timedelta(minutes=1)) == [job]


def test_what_a_listener_refuses_is_not_archived_and_comes_again(store: JobStore, warehouse: Connection) -> None:
    def refuse(connection: Connection, jobs: Sequence[Job]) -> None:
        raise RuntimeError

    ended(store, "a")
    assert Archiver(store).step(warehouse) == 0
    with pytest.raises(RuntimeError):
        Archiver(store, [refuse]).step(warehouse)
    assert one(warehouse, "SELECT count(*) FROM salespulse.job_archive") == 0
    assert Archiver(store).step(warehouse) > 0
    assert one(warehouse, "SELECT count(*) FROM salespulse.job_archive") == 1


def test_a_tenant_sees_its_own_jobs_alone(store: JobStore, warehouse: Connection, installation: Installation) -> None:
    mine, _, _ = ended(store, "a"), ended(store, "b"), ended(store, "")
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
    ended(store, "a")
    drain(Archiver(store), warehouse)
    assert prune_archive(warehouse, keep_days=30) == 0
    assert prune_archive(warehouse, keep_days=30, now=datetime.now(UTC) + timedelta(days=31)) == 1


def test_a_feed_of_other_data_is_read_from_its_beginning(store: JobStore, warehouse: Connection) -> None:
    ended(store, "a")
    drain(Archiver(store), warehouse)
    store._client.flushall()
    assert Archiver(store).step(warehouse) == 0
    store.begin_epoch()
    job = ended(store, "b")
    drain(Archiver(store), warehouse)
    assert {each.id for each in archived_jobs(warehouse, ended_since=datetime.fromtimestamp(0, UTC))} >= {job.id}
    assert job.state is JobState.SUCCEEDED
