"""The event tailer and the reconciler on Dagster's real PostgreSQL storage, with runs that the tests simulate."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import redis

from background_jobs.dagster_bridge.dagster_client import DagsterClient
from background_jobs.dagster_bridge.event_tailer import OVERLAP_S, DagsterEventTailer
from background_jobs.dagster_bridge.reconciler import reconcile_runs
from background_jobs.dagster_bridge.run_outcome import RunOutcome, apply_run_outcome
from background_jobs.dagster_bridge.run_tags import (
    JOB_ATTEMPT,
    JOB_ID,
    JOB_RESULT,
    PARENT_RUN,
    RETRY_NUMBER,
    WILL_RETRY,
)
from background_jobs.dagster_bridge.run_terminator import CANCEL_AFTER_S, RunTerminator
from background_jobs.store import Caps, Claim, FailureCode, Job, JobState, JobStore, Submission
from dbconnect.routes import Connection, connect_route
from pipelines.definitions import defs
from tests.servers import Database, redis_servers


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class BridgeFixture:
    """A job store, Dagster's storage, and a bridge's parts with a fake clock."""

    def __init__(self, instance: dg.DagsterInstance, store: JobStore, storage: Connection, workspace: Path) -> None:
        self.instance, self.store, self.storage = instance, store, storage
        self.clock = FakeClock()
        self.dagster = DagsterClient(instance, workspace)
        self.tailer = DagsterEventTailer(store, self.dagster, clock=self.clock)
        self.terminator = RunTerminator(self.dagster, clock=self.clock)
        self.tailer.step(storage)

    def dispatched(self, *, tags: dict[str, str] | None = None, **options: object) -> tuple[Job, Claim, dg.DagsterRun]:
        """A job with a run that has been made."""
        self.store.submit(Submission(kind="hello_world", tenant="t", params={}, **options))
        (claim,) = self.store.claim(limit=1, caps=Caps(per_tenant=100))
        run = self.make_run(claim.job, claim.run_id, claim.attempt, **(tags or {}))
        self.store.dispatched(claim.job.id, claim.attempt)
        return claim.job, claim, run

    def make_run(self, job: Job, run_id: str, attempt: int, **tags: str) -> dg.DagsterRun:
        return self.instance.create_run_for_job(
            defs.resolve_job_def("hello_world_job"),
            run_id=run_id,
            tags={JOB_ID: job.id, JOB_ATTEMPT: str(attempt), **tags},
        )

    def report_event(self, run: dg.DagsterRun, event: dg.DagsterEventType) -> None:
        self.instance.report_dagster_event(
            dg.DagsterEvent(event.value, run.job_name, message="as the test says"), run_id=run.run_id
        )

    def insert_event_row(self, run: dg.DagsterRun, event_type: str, storage: Connection | None = None) -> None:
        """Write an event row alone."""
        (storage or self.storage).execute(
            "INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp) "
            "VALUES (%s, '{}', %s, now() AT TIME ZONE 'UTC')",
            [run.run_id, event_type],
        )

    def get(self, job: Job) -> Job:
        stored = self.store.get(job.id)
        assert stored is not None
        return stored


@pytest.fixture
def bridge(database: Database, tmp_path: Path) -> Iterator[BridgeFixture]:
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
        fixture = BridgeFixture(instance, store, storage, workspace)
        yield fixture
        fixture.dagster.close()
        store.close()


def test_a_job_follows_its_run_and_keeps_its_result(bridge: BridgeFixture) -> None:
    job, _, run = bridge.dispatched()
    bridge.report_event(run, dg.DagsterEventType.RUN_START)
    bridge.tailer.step(bridge.storage)
    assert bridge.get(job).state is JobState.RUNNING
    bridge.instance.add_run_tags(run.run_id, {JOB_RESULT: json.dumps({"rows": 3})})
    bridge.report_event(run, dg.DagsterEventType.RUN_SUCCESS)
    bridge.tailer.step(bridge.storage)
    ended = bridge.get(job)
    assert (ended.state, ended.result) == (JobState.SUCCEEDED, {"rows": 3})


def test_each_event_is_processed_once_and_late_ids_too(bridge: BridgeFixture) -> None:
    """Two connections take ids 1 and 2; the second commits first."""
    job, _, run = bridge.dispatched()
    other, _, other_run = bridge.dispatched()
    with _second(bridge) as late:
        late.execute("BEGIN")
        bridge.insert_event_row(run, "PIPELINE_START", late)
        bridge.report_event(other_run, dg.DagsterEventType.RUN_START)
        assert bridge.tailer.step(bridge.storage) >= 1
        assert (bridge.get(job).state, bridge.get(other).state) == (JobState.DISPATCHED, JobState.RUNNING)
        bridge.clock.now_s += OVERLAP_S / 2
        bridge.tailer.step(bridge.storage)
        late.execute("COMMIT")
    assert bridge.tailer.step(bridge.storage) == 1
    assert bridge.get(job).state is JobState.RUNNING
    assert bridge.tailer.step(bridge.storage) == 0


def test_a_failure_waits_for_dagsters_decision_and_its_retry_is_adopted(bridge: BridgeFixture) -> None:
    job, _, run = bridge.dispatched(max_attempts=2, tags={"dagster/max_retries": "1"})
    bridge.report_event(run, dg.DagsterEventType.RUN_START)
    bridge.instance.report_run_failed(run, "The process was ended.")
    failed = bridge.instance.get_run_by_id(run.run_id)
    assert failed is not None
    assert failed.tags[WILL_RETRY] == "true"
    bridge.tailer.step(bridge.storage)
    assert bridge.get(job).state is JobState.RUNNING
    retry = bridge.make_run(job, str(uuid.uuid4()), 1, **{RETRY_NUMBER: "1", PARENT_RUN: run.run_id})
    bridge.insert_event_row(retry, "PIPELINE_ENQUEUED")
    bridge.tailer.step(bridge.storage)
    stored = bridge.get(job)
    assert (stored.state, stored.attempt, stored.run_id) == (JobState.DISPATCHED, 2, retry.run_id)
    bridge.report_event(retry, dg.DagsterEventType.RUN_START)
    bridge.report_event(retry, dg.DagsterEventType.RUN_SUCCESS)
    bridge.tailer.step(bridge.storage)
    assert (bridge.get(job).state, bridge.get(job).attempt) == (JobState.SUCCEEDED, 2)


def test_the_reconciler_applies_outcomes_without_events(bridge: BridgeFixture) -> None:
    job, _, run = bridge.dispatched()
    canceling, _, queued_run = bridge.dispatched()
    bridge.report_event(run, dg.DagsterEventType.RUN_START)
    bridge.report_event(run, dg.DagsterEventType.RUN_SUCCESS)
    bridge.store.cancel(canceling.id)
    assert reconcile_runs(bridge.store, bridge.dagster, bridge.terminator) == 2
    assert bridge.get(job).state is JobState.SUCCEEDED
    stopped = bridge.instance.get_run_by_id(queued_run.run_id)
    assert stopped is not None
    assert stopped.status is dg.DagsterRunStatus.CANCELED
    reconcile_runs(bridge.store, bridge.dagster, bridge.terminator)
    assert bridge.get(canceling).state is JobState.CANCELED


def test_a_run_of_an_earlier_attempt_is_canceled(bridge: BridgeFixture) -> None:
    job, claim, run = bridge.dispatched(max_attempts=2)
    bridge.report_event(run, dg.DagsterEventType.RUN_START)
    bridge.store.fail(job.id, claim.attempt, FailureCode.WORKER_LOST, "no sign of life")
    reconcile_runs(bridge.store, bridge.dagster, bridge.terminator)
    bridge.clock.now_s += CANCEL_AFTER_S
    bridge.terminator.step()
    canceling_run = bridge.instance.get_run_by_id(run.run_id)
    assert canceling_run is not None
    assert canceling_run.status is dg.DagsterRunStatus.CANCELING


def test_an_outcome_after_the_end_is_a_late_outcome(bridge: BridgeFixture) -> None:
    job, claim, run = bridge.dispatched()
    bridge.store.fail(job.id, claim.attempt, FailureCode.WORKER_LOST, "no sign of life", may_retry=False)
    apply_run_outcome(bridge.store, bridge.dagster, bridge.get(job), RunOutcome(run.run_id, "SUCCESS", attempt=1))
    stored = bridge.get(job)
    assert stored.state is JobState.FAILED
    assert stored.late_outcome is not None
    assert stored.late_outcome["state"] == "succeeded"


def test_dagster_does_not_fail_a_job_whose_lease_is_valid(bridge: BridgeFixture) -> None:
    job, claim, run = bridge.dispatched()
    bridge.store.started(job.id, claim.attempt)
    bridge.instance.report_run_failed(run, "Detected run worker status (UNKNOWN, 'PENDING'). Marking run as failed.")
    bridge.tailer.step(bridge.storage)
    assert bridge.get(job).state is JobState.RUNNING


def _second(bridge: BridgeFixture) -> Connection:
    return connect_route(bridge.storage.info.dsn + f" password={bridge.storage.info.password}", "late")
