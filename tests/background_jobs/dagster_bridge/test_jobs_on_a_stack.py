"""Background jobs on a real stack: each kind to its end, and what happens when a part is killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pandas as pd
import psycopg
import pytest

from background_jobs.dagster_bridge.archive import archived_jobs
from background_jobs.dagster_bridge.dispatcher import Dispatcher
from background_jobs.dagster_bridge.run_tags import JOB_ID, JOB_RECORD
from background_jobs.store import Caps, Claim, Deadlines, FailureCode, Job, JobState, Submission, run_id_of
from dbconnect.routes import connect_route
from local_stack.waiting import wait_until
from tests.background_jobs.dagster_bridge.conftest import PATIENCE_S, Stack

# A run's heartbeat comes four times in a lease.
SHORT_LEASE = Deadlines(lease_s=6, start_s=100, run_s=600)
LONG = {"steps": 400, "step_seconds": 0.1}

pytestmark = pytest.mark.timeout(600)


def tenant_of(stack: Stack) -> str:
    """A tenant of the warehouse, once there has been a refresh."""
    rows: list[tuple[str]] = []

    def is_there() -> bool:
        rows[:] = stack.query("SELECT tenant_id FROM salespulse.dim_tenant ORDER BY 1")
        state = stack.query("SELECT count(*) FROM salespulse.refresh_state WHERE as_of > '2000-01-01'")
        return bool(rows) and state == [(1,)]

    wait_until(is_there, timeout_s=PATIENCE_S, what="the first refresh", every_s=0.25)
    return rows[0][0]


def wait_until_archived(stack: Stack, job: Job) -> None:
    statement = "SELECT state FROM salespulse.job_archive WHERE job_id = %s"
    wait_until(
        lambda: stack.query(statement, job.id) == [(job.state.value,)],
        timeout_s=PATIENCE_S,
        what=f"job {job.id} to be archived",
        every_s=0.1,
    )


def test_hello_runs_to_its_end_with_progress(stack: Stack) -> None:
    job = stack.wait(stack.submit(steps=8, step_seconds=0.3, name="Ada"))
    assert job.state is JobState.SUCCEEDED, job.message
    assert job.result == {"greeting": "Hello, Ada!"}
    assert job.percent == 100
    events = stack.store.events(job.id)
    states = [event.state for event in events if event.type == "state"]
    assert states == [JobState.QUEUED, JobState.DISPATCHED, JobState.RUNNING, JobState.SUCCEEDED]
    percents = [event.percent for event in events if event.type == "progress" and event.percent is not None]
    assert len(percents) >= 3
    assert percents == sorted(percents)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    run = stack.run_of(job)
    assert run.status == "SUCCESS"
    assert job.run_id == run.run_id
    assert Job.from_document(json.loads(run.tags[JOB_RECORD])).params == job.params
    wait_until_archived(stack, job)


def test_the_sensor_requests_a_refresh_through_the_job_store(stack: Stack) -> None:
    def refresh_jobs() -> list[Job]:
        return stack.store.list("", kind="refresh_sales_summary").jobs

    wait_until(refresh_jobs, timeout_s=PATIENCE_S, what="the sensor to request a refresh")
    assert {job.subject for job in refresh_jobs()} <= {"sensor", "schedule"}
    assert stack.wait(refresh_jobs()[-1]).state is JobState.SUCCEEDED


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("refresh_sales_summary", {}),
        ("verify_sales_summary", {"from_date": "2026-01-01"}),
        ("rebuild_sales_summary", {"from_date": "2026-01-01", "to_date": "2026-12-31"}),
        ("rebuild_sales_summary", {"rollup": "all"}),
    ],
)
def test_each_kind_runs_to_its_end(stack: Stack, kind: str, params: dict[str, str]) -> None:
    tenant = tenant_of(stack)
    job = stack.wait(stack.submit(kind, tenant=tenant, **params))
    assert job.state is JobState.SUCCEEDED, job.message
    assert job.result
    if kind == "verify_sales_summary":
        assert job.result["is_exact"] is True
    if params.get("rollup"):
        assert set(job.result["rows_written"].values()) == {0}


@pytest.mark.parametrize("file_format", ["csv", "xlsx", "parquet"])
def test_an_export_is_exact_and_the_tenants_own(stack: Stack, file_format: str) -> None:
    tenant = tenant_of(stack)
    job = stack.wait(
        stack.submit("export_sales_report", tenant=tenant, format=file_format, from_date="2000-01-01", report="stores")
    )
    assert job.state is JobState.SUCCEEDED, job.message
    assert job.result is not None
    path = stack.settings.exports / job.result["file"]
    assert path.name == f"{job.id}.{file_format}"
    assert path.stat().st_size == job.result["bytes"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert datetime.fromisoformat(job.result["expires_at"]) > datetime.now(UTC)
    read = {"csv": lambda: pd.read_csv(path, dtype=str), "xlsx": lambda: pd.read_excel(path, dtype=str)}
    frame = read.get(file_format, lambda: pd.read_parquet(path))()
    (rows, net), = stack.query(
        "SELECT count(*), sum(d.net_amount) FROM salespulse.daily_store_sales AS d "
        "JOIN salespulse.dim_tenant AS t USING (tenant_key) WHERE t.tenant_id = %s", tenant,
    )  # fmt: skip
    assert len(frame) == job.result["rows"] == rows > 0
    assert sum(Decimal(value) for value in frame["net_amount"]) == net


def test_a_failed_steps_message_is_the_jobs(stack: Stack) -> None:
    job = stack.wait(stack.submit(steps=2, step_seconds=0, fail=True))
    assert (job.state, job.code) == (JobState.FAILED, FailureCode.STEP_FAILURE)
    assert job.message == "failed at step 2 of 2, as requested"
    assert job.attempt == 1


def test_a_job_of_an_unknown_kind_fails_with_a_message(stack: Stack) -> None:
    job = stack.wait(stack.store.submit(Submission(kind="unheard_of", tenant="t", params={})).job)
    assert (job.state, job.code) == (JobState.FAILED, FailureCode.DISPATCH_FAILED)
    assert "there is no job kind 'unheard_of'" in (job.message or "")


def test_cancel_a_queued_a_running_and_an_ended_job(stack: Stack) -> None:
    queued = stack.submit(delay_s=3600)
    canceled = stack.store.cancel(queued.id)
    assert canceled is not None
    assert canceled.state is JobState.CANCELED
    assert stack.runs_of(queued) == []

    running = stack.started(**LONG)
    stack.store.cancel(running.id)
    assert stack.wait(running).state is JobState.CANCELED
    stack.wait_for_run(running, "CANCELED")

    ended = stack.wait(stack.submit(steps=1, step_seconds=0))
    again = stack.store.cancel(ended.id)
    assert again is not None
    assert again.state is ended.state is JobState.SUCCEEDED


def test_a_canceled_refresh_leaves_the_figures_consistent(stack: Stack) -> None:
    tenant = tenant_of(stack)
    job = stack.submit("refresh_sales_summary", tenant=tenant, drain_seconds=60)
    stack.wait(job, JobState.RUNNING)
    stack.store.cancel(job.id)
    assert stack.wait(job).state is JobState.CANCELED
    checked = stack.wait(stack.submit("verify_sales_summary", tenant=tenant))
    assert checked.result is not None
    assert checked.result["is_exact"] is True


def test_dispatching_twice_is_one_run(stack: Stack) -> None:
    job = stack.submit(delay_s=3600)
    dispatcher = Dispatcher(stack.store, stack.dagster, Caps())
    claim = Claim(job, 1, run_id_of(job.id, 1))
    assert [dispatcher.dispatch(claim), dispatcher.dispatch(claim)] == [None, None]
    assert len(stack.runs_of(job)) == 1
    assert stack.wait(job).state is JobState.SUCCEEDED
    assert len(stack.runs_of(job)) == 1
    dispatcher.close()


def test_two_bridges_make_one_run_of_each_job(stack: Stack) -> None:
    with another_bridge(stack):
        jobs = [stack.submit(steps=1, step_seconds=0, tenant=f"t{number % 3}") for number in range(8)]
        ended = [stack.wait(job) for job in jobs]
    assert {job.state for job in ended} == {JobState.SUCCEEDED}
    assert {job.attempt for job in ended} == {1}
    assert {len(stack.runs_of(job)) for job in jobs} == {1}


def test_without_listen_the_poll_suffices(stack: Stack) -> None:
    stack.stop_program("bridge")
    try:
        with another_bridge(stack, "--no-listen"):
            job = stack.wait(stack.submit(steps=1, step_seconds=0))
    finally:
        stack.start_program("bridge")
    assert job.state is JobState.SUCCEEDED


def test_a_killed_run_worker_is_noticed_and_the_job_retried(stack: Stack) -> None:
    job = stack.started(**{**LONG, "steps": 60}, deadlines=SHORT_LEASE, max_attempts=2)
    stack.kill_run_worker()
    again = stack.wait(job, JobState.RETRYING, JobState.DISPATCHED, JobState.RUNNING, JobState.SUCCEEDED)
    ended = stack.wait(again)
    assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2), ended
    codes = [event.code for event in stack.store.events(job.id) if event.state is JobState.RETRYING]
    assert codes == [FailureCode.WORKER_LOST]


def test_a_killed_run_worker_without_attempts_left_ends_the_job(stack: Stack) -> None:
    job = stack.started(**LONG, deadlines=SHORT_LEASE, max_attempts=1)
    stack.kill_run_worker()
    ended = stack.wait(job)
    assert (ended.state, ended.code) == (JobState.FAILED, FailureCode.WORKER_LOST)
    # By the bridge, or by Dagster's own monitoring where it was quicker.
    stack.wait_for_run(job, "CANCELED", "FAILURE")
    assert stack.get(job).late_outcome is None


@pytest.mark.parametrize("program", ["bridge", "daemon", "code_server", "redis"])
def test_killing_a_part_mid_job_loses_nothing(stack: Stack, program: str) -> None:
    running = stack.started(steps=30, step_seconds=0.1, deadlines=Deadlines(lease_s=60))
    waiting = stack.submit(steps=1, step_seconds=0)
    stack.kill(program)
    for job in (running, waiting):
        ended = stack.wait(job)
        assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 1), ended
        assert len(stack.runs_of(job)) == 1


def test_a_bridge_killed_between_a_run_and_its_tags_leaves_a_run_that_is_found_by_them(stack: Stack) -> None:
    def writers() -> list[tuple[int]]:
        statement = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
        return stack.query(statement, "INSERT INTO run_tags%", setting="dagster_url")

    with psycopg.connect(stack.settings.url("dagster_url"), prepare_threshold=None) as dagster:
        dagster.execute("LOCK TABLE run_tags IN SHARE MODE")
        job = stack.submit(steps=1, step_seconds=0)
        wait_until(writers, timeout_s=PATIENCE_S, what="the bridge to index its run's tags")
        stack.kill("bridge")
        # What was sent would be carried out after its sender's end.
        for (pid,) in writers():
            dagster.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    ended = stack.wait(job)
    assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 1), ended
    statement = "SELECT key, count(*) FROM run_tags WHERE run_id = %s GROUP BY key"
    tags = dict(stack.query(statement, ended.run_id, setting="dagster_url"))
    assert set(tags.values()) == {1}
    assert {JOB_ID, JOB_RECORD} <= set(tags)
    assert len(stack.runs_of(job)) == 1


def test_jobs_wait_for_dagsters_code_server_and_show_why(stack: Stack) -> None:
    stack.stop_program("code_server")
    try:
        job = stack.submit(steps=1, step_seconds=0)
        wait_until(
            lambda: "code server is unavailable" in (stack.get(job).waiting_for or ""),
            timeout_s=PATIENCE_S,
            what="the job to show what it waits for",
        )
        assert stack.get(job).state is JobState.QUEUED
    finally:
        stack.start_program("code_server")
    assert stack.wait(job).state is JobState.SUCCEEDED


def test_jobs_are_restored_after_redis_lost_its_data(stack: Stack) -> None:
    ended = stack.wait(stack.submit(steps=1, step_seconds=0))
    running = stack.started(steps=100, step_seconds=0.1)
    waiting = stack.submit(delay_s=3600)
    for job in (ended, stack.get(running), waiting):
        wait_until_archived(stack, job)
    stack.lose_redis()
    wait_until(lambda: stack.store.epoch() is not None, timeout_s=PATIENCE_S, what="the jobs to be restored")
    assert stack.get(ended).state is JobState.SUCCEEDED
    assert stack.get(waiting).state is JobState.QUEUED
    finished = stack.wait(running)
    assert (finished.state, finished.attempt) == (JobState.SUCCEEDED, 1), finished
    assert finished.result == {"greeting": "Hello, world!"}
    assert len(stack.runs_of(running)) == 1
    stack.store.cancel(waiting.id)


def test_a_job_past_its_deadline_ends_and_so_does_its_run(stack: Stack) -> None:
    job = stack.wait(stack.submit(**LONG, deadlines=Deadlines(run_s=2)))
    assert (job.state, job.code) == (JobState.FAILED, FailureCode.DEADLINE_EXCEEDED)
    stack.wait_for_run(job, "CANCELED")
    assert stack.get(job).state is JobState.FAILED


def test_the_bridge_ends_soon_after_sigterm(stack: Stack) -> None:
    with another_bridge(stack) as process:
        wait_until(lambda: _listens(process), timeout_s=PATIENCE_S, what="the bridge to handle signals")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_archived_jobs_can_be_read_back_whole(stack: Stack) -> None:
    job = stack.wait(stack.submit(steps=1, step_seconds=0))
    wait_until_archived(stack, job)
    with connect_route(stack.settings.url("warehouse_url"), "test") as warehouse:
        rows = {each.id: each for each in archived_jobs(warehouse, ended_since=datetime.now(UTC) - timedelta(hours=1))}
    assert rows[job.id] == job


@contextmanager
def another_bridge(stack: Stack, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A bridge beside the stack's own."""
    command = [sys.executable, "-c", "from salespulse.cli import main; main()", "bridge", *options]
    environment = {**os.environ, "SALESPULSE_DATA_DIR": str(stack.data_dir)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def _listens(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has replaced the default action of SIGTERM."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:  # noqa: PTH123
        caught = next(line for line in status if line.startswith("SigCgt:")).split()[1]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
