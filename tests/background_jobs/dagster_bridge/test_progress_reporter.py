"""The progress reporter: sends progress and heartbeats, receives cancellation, and never delays the run."""

import time
from collections.abc import Iterator

import pytest
import redis

from background_jobs.dagster_bridge.progress_reporter import JobRun, ProgressReporter
from background_jobs.store import Caps, Deadlines, Job, JobState, JobStore, JobStoreOptions, Submission
from local_stack.waiting import wait_until
from tests.servers import redis_servers

PATIENCE_S = 60.0


@pytest.fixture
def server(tmp_path) -> Iterator[redis_servers.Server]:
    with redis_servers.one(tmp_path) as redis_server:
        yield redis_server


@pytest.fixture
def store(server: redis_servers.Server) -> Iterator[JobStore]:
    redis_server = open_job_store(server)
    yield redis_server
    redis_server.close()


def open_job_store(server: redis_servers.Server) -> JobStore:
    return JobStore(redis.Redis(port=server.port), JobStoreOptions(timeout_s=5.0))


def claimed(store: JobStore, **options: object) -> tuple[Job, JobRun]:
    """A job that has been dispatched, and its run."""
    store.submit(Submission(kind="hello", tenant="t", params={}, deadlines=Deadlines(lease_s=1), **options))
    (claim,) = store.claim(limit=1, caps=Caps())
    store.dispatched(claim.job.id, claim.attempt)
    return claim.job, JobRun(claim.job.id, claim.run_id, claim.attempt, lease_s=1)


def get(store: JobStore, job: Job) -> Job:
    stored = store.get(job.id)
    assert stored is not None
    return stored


def test_the_newest_progress_arrives_and_the_rest_is_throttled(store: JobStore, server: redis_servers.Server) -> None:
    job, run = claimed(store)
    with ProgressReporter(run, lambda: open_job_store(server)) as reporter:
        for number in range(2000):
            reporter.progress(number / 2000, step="counting", counts={"rows": number})
        reporter.result({"rows": 2000})
    stored = get(store, job)
    assert stored.state is JobState.RUNNING
    assert (stored.step, stored.counts, stored.result) == ("counting", {"rows": 1999}, {"rows": 2000})
    events = [event for event in store.events(job.id) if event.type == "progress"]
    assert 1 <= len(events) <= 20


def test_a_run_without_progress_sends_heartbeats(store: JobStore, server: redis_servers.Server) -> None:
    job, run = claimed(store)
    with ProgressReporter(run, lambda: open_job_store(server)):
        wait_until(lambda: get(store, job).heartbeat_ms, timeout_s=PATIENCE_S, what="the first heartbeat")
        first = get(store, job).heartbeat_ms
        wait_until(lambda: get(store, job).heartbeat_ms != first, timeout_s=PATIENCE_S, what="another heartbeat")
    assert [event.type for event in store.events(job.id)].count("progress") == 0


def test_a_cancellation_or_a_later_attempt_sets_should_stop(store: JobStore, server: redis_servers.Server) -> None:
    job, run = claimed(store)
    with ProgressReporter(run, lambda: open_job_store(server)) as reporter:
        reporter.progress(1)
        assert not reporter.should_stop
        store.cancel(job.id)
        wait_until(lambda: reporter.should_stop, timeout_s=PATIENCE_S, what="the reporter to be told to stop")
    other, its_run = claimed(store, max_attempts=2)
    store.fail(other.id, 1, "WORKER_LOST", "gone")
    with ProgressReporter(its_run, lambda: open_job_store(server)) as reporter:
        wait_until(lambda: reporter.should_stop, timeout_s=PATIENCE_S, what="the reporter to be told to stop")


def test_redis_that_lost_the_job_is_no_reason_to_stop(store: JobStore, server: redis_servers.Server) -> None:
    job, run = claimed(store)
    with ProgressReporter(run, lambda: open_job_store(server)) as reporter:
        wait_until(lambda: get(store, job).heartbeat_ms, timeout_s=PATIENCE_S, what="a heartbeat")
        server.client().flushall()
        store.restore(job)
        reporter.progress(50)
        wait_until(lambda: get(store, job).percent == 50, timeout_s=PATIENCE_S, what="the report to arrive")
        assert not reporter.should_stop


def test_a_hanging_redis_delays_nothing_and_receives_the_progress_later(
    store: JobStore, server: redis_servers.Server
) -> None:
    import signal

    job, run = claimed(store)
    server.signal(signal.SIGSTOP)
    with ProgressReporter(
        run, lambda: JobStore(redis.Redis(port=server.port), JobStoreOptions(timeout_s=0.2))
    ) as reporter:
        started_at = time.monotonic()
        for number in range(1000):
            reporter.progress(number / 10, message=str(number))
        assert time.monotonic() - started_at < 5
        server.signal(signal.SIGCONT)
        wait_until(lambda: get(store, job).message == "999", timeout_s=PATIENCE_S, what="the report to arrive")


def test_a_run_without_a_job_reports_nothing() -> None:
    def never() -> JobStore:
        raise AssertionError

    with ProgressReporter(None, never) as reporter:
        reporter.progress(10)
        reporter.result({"a": 1})
        assert not reporter.should_stop
