"""The event pump and the reconciliation on Dagster's real PostgreSQL storage, with runs that the tests play."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import redis

from background_jobs.dagster_bridge.outcome import Outcome, settle
from background_jobs.dagster_bridge.pump import OVERLAP_S, EventPump
from background_jobs.dagster_bridge.reconcile import reconcile
from background_jobs.dagster_bridge.run_tags import (
    JOB_ATTEMPT,
    JOB_ID,
    JOB_RESULT,
    PARENT_RUN,
    RETRY_NUMBER,
    WILL_RETRY,
)
from background_jobs.dagster_bridge.runs import Runs
from background_jobs.dagster_bridge.stopper import ASK_AFTER_S, Stopper
from background_jobs.store import Caps, Claim, FailureCode, Job, JobState, JobStore, Submission
from dbconnect.routes import Connection, connect_route
from pipelines.definitions import defs
from tests.servers import Database, redis_servers


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class World:
    """A job store, Dagster's storage, and a bridge's parts on a clock of their own."""

    def __init__(self, instance: dg.DagsterInstance, store: JobStore, storage: Connection, workspace: Path) -> None:
        self.instance, self.store, self.storage = instance, store, storage
        self.clock = Clock()
        self.runs = Runs(instance, workspace)
        self.pump = EventPump(store, self.runs, clock=self.clock)
        self.stopper = Stopper(self.runs, clock=self.clock)
        self.pump.step(storage)

    def dispatched(self, *, tags: dict[str, str] | None = None, **given: object) -> tuple[Job, Claim, dg.DagsterRun]:
        """A job with a run that has been made."""
        self.store.submit(Submission(kind="hello_world", tenant="t", params={}, **given))
        (claim,) = self.store.claim(most=1, caps=Caps(per_tenant=100))
        run = self.make_run(claim.job, claim.run_id, claim.attempt, **(tags or {}))
        self.store.dispatched(claim.job.id, claim.attempt)
        return claim.job, claim, run

    def make_run(self, job: Job, run_id: str, attempt: int, **tags: str) -> dg.DagsterRun:
        return self.instance.create_run_for_job(
            defs.resolve_job_def("hello_world_job"),
            run_id=run_id,
            tags={JOB_ID: job.id, JOB_ATTEMPT: str(attempt), **tags},
        )

    def tell(self, run: dg.DagsterRun, event: dg.DagsterEventType) -> None:
        self.instance.report_dagster_event(
            dg.DagsterEvent(event.value, run.job_name, message="as the test says"), run_id=run.run_id
        )

    def note(self, run: dg.DagsterRun, event_type: str, storage: Connection | None = None) -> None:
        """Write an event row alone."""
        (storage or self.storage).execute(
            "INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp) "
            "VALUES (%s, '{}', %s, now() AT TIME ZONE 'UTC')",
            [run.run_id, event_type],
        )

    def get(self, job: Job) -> Job:
        found = self.store.get(job.id)
        assert found is not None
        return found


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    url = database.primary_url.replace("postgresql://", "postgresql+psycopg2://")
    text = f"storage:\n  postgres:\n    postgres_url: {url}\nrun_retries:\n  enabled: true\n  max_retries: 0\n"
    (tmp_path / "dagster.yaml").write_text(text, encoding="utf-8")
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text("load_from: []\n", encoding="utf-8")
    with (
        redis_servers.one(tmp_path / "redis") as server,
        dg.DagsterInstance.from_config(str(tmp_path)) as instance,
        connect_route(database.primary_url, "test") as storage,
    ):
        store = JobStore(redis.Redis(port=server.port))
        made = World(instance, store, storage, workspace)
        yield made
        made.runs.close()
        store.close()


def test_a_run_is_followed_to_its_end_and_its_result_kept(world: World) -> None:
    job, _, run = world.dispatched()
    world.tell(run, dg.DagsterEventType.RUN_START)
    world.pump.step(world.storage)
    assert world.get(job).state is JobState.RUNNING
    world.instance.add_run_tags(run.run_id, {JOB_RESULT: json.dumps({"rows": 3})})
    world.tell(run, dg.DagsterEventType.RUN_SUCCESS)
    world.pump.step(world.storage)
    ended = world.get(job)
    assert (ended.state, ended.result) == (JobState.SUCCEEDED, {"rows": 3})


def test_each_event_counts_once_and_late_ids_are_seen(world: World) -> None:
    """Two connections take ids 1 and 2; the second commits first."""
    job, _, run = world.dispatched()
    other, _, other_run = world.dispatched()
    with _second(world) as late:
        late.execute("BEGIN")
        world.note(run, "PIPELINE_START", late)
        world.tell(other_run, dg.DagsterEventType.RUN_START)
        assert world.pump.step(world.storage) >= 1
        assert (world.get(job).state, world.get(other).state) == (JobState.DISPATCHED, JobState.RUNNING)
        world.clock.now_s += OVERLAP_S / 2
        world.pump.step(world.storage)
        late.execute("COMMIT")
    assert world.pump.step(world.storage) == 1
    assert world.get(job).state is JobState.RUNNING
    assert world.pump.step(world.storage) == 0


def test_a_failure_waits_until_dagster_has_decided_about_a_retry_which_is_adopted(world: World) -> None:
    job, _, run = world.dispatched(max_attempts=2, tags={"dagster/max_retries": "1"})
    world.tell(run, dg.DagsterEventType.RUN_START)
    world.instance.report_run_failed(run, "The process was ended.")
    failed = world.instance.get_run_by_id(run.run_id)
    assert failed is not None
    assert failed.tags[WILL_RETRY] == "true"
    world.pump.step(world.storage)
    assert world.get(job).state is JobState.RUNNING
    again = world.make_run(job, str(uuid.uuid4()), 1, **{RETRY_NUMBER: "1", PARENT_RUN: run.run_id})
    world.note(again, "PIPELINE_ENQUEUED")
    world.pump.step(world.storage)
    found = world.get(job)
    assert (found.state, found.attempt, found.run_id) == (JobState.DISPATCHED, 2, again.run_id)
    world.tell(again, dg.DagsterEventType.RUN_START)
    world.tell(again, dg.DagsterEventType.RUN_SUCCESS)
    world.pump.step(world.storage)
    assert (world.get(job).state, world.get(job).attempt) == (JobState.SUCCEEDED, 2)


def test_what_no_event_told_the_reconciliation_finds(world: World) -> None:
    job, _, run = world.dispatched()
    canceling, _, queued_run = world.dispatched()
    world.tell(run, dg.DagsterEventType.RUN_START)
    world.tell(run, dg.DagsterEventType.RUN_SUCCESS)
    world.store.cancel(canceling.id)
    assert reconcile(world.store, world.runs, world.stopper) == 2
    assert world.get(job).state is JobState.SUCCEEDED
    stopped = world.instance.get_run_by_id(queued_run.run_id)
    assert stopped is not None
    assert stopped.status is dg.DagsterRunStatus.CANCELED
    reconcile(world.store, world.runs, world.stopper)
    assert world.get(canceling).state is JobState.CANCELED


def test_a_run_that_its_job_has_left_behind_is_stopped(world: World) -> None:
    job, claim, run = world.dispatched(max_attempts=2)
    world.tell(run, dg.DagsterEventType.RUN_START)
    world.store.fail(job.id, claim.attempt, FailureCode.WORKER_LOST, "no sign of life")
    reconcile(world.store, world.runs, world.stopper)
    world.clock.now_s += ASK_AFTER_S
    world.stopper.step()
    asked = world.instance.get_run_by_id(run.run_id)
    assert asked is not None
    assert asked.status is dg.DagsterRunStatus.CANCELING


def test_an_outcome_after_the_end_is_kept_as_late(world: World) -> None:
    job, claim, run = world.dispatched()
    world.store.fail(job.id, claim.attempt, FailureCode.WORKER_LOST, "no sign of life", may_retry=False)
    settle(world.store, world.runs, world.get(job), Outcome(run.run_id, "SUCCESS", attempt=1))
    found = world.get(job)
    assert found.state is JobState.FAILED
    assert found.late_outcome is not None
    assert found.late_outcome["state"] == "succeeded"


def test_dagster_can_not_see_a_worker_whose_lease_holds(world: World) -> None:
    job, claim, run = world.dispatched()
    world.store.started(job.id, claim.attempt)
    world.instance.report_run_failed(run, "Detected run worker status (UNKNOWN, 'PENDING'). Marking run as failed.")
    world.pump.step(world.storage)
    assert world.get(job).state is JobState.RUNNING


def _second(world: World) -> Connection:
    return connect_route(world.storage.info.dsn + f" password={world.storage.info.password}", "late")
