"""The reporter: it says what is new, beats without news, hears of a cancellation, and never stands in a run's way."""

import time
from collections.abc import Iterator

import pytest
import redis

from background_jobs.dagster_bridge.reporter import JobRun, Reporter
from background_jobs.store import Caps, Deadlines, Job, JobState, JobStore, JobStoreOptions, Submission
from local_stack.waiting import wait_until
from tests.servers import redis_servers

PATIENCE_S = 60.0


@pytest.fixture
def server(tmp_path) -> Iterator[redis_servers.Server]:
    with redis_servers.one(tmp_path) as made:
        yield made


@pytest.fixture
def store(server: redis_servers.Server) -> Iterator[JobStore]:
    made = open_store(server)
    yield made
    made.close()


def open_store(server: redis_servers.Server) -> JobStore:
    return JobStore(redis.Redis(port=server.port), JobStoreOptions(timeout_s=5.0))


def claimed(store: JobStore, **given: object) -> tuple[Job, JobRun]:
    """A job that has been dispatched, and its run."""
    store.submit(Submission(kind="hello", tenant="t", params={}, deadlines=Deadlines(lease_s=1), **given))
    (claim,) = store.claim(most=1, caps=Caps())
    store.dispatched(claim.job.id, claim.attempt)
    return claim.job, JobRun(claim.job.id, claim.run_id, claim.attempt, lease_s=1)


def get(store: JobStore, job: Job) -> Job:
    found = store.get(job.id)
    assert found is not None
    return found


def test_the_newest_progress_arrives_and_the_rest_is_thinned(store: JobStore, server: redis_servers.Server) -> None:
    job, run = claimed(store)
    with Reporter(run, lambda: open_store(server)) as reporter:
        for number in range(2000):
            reporter.progress(number / 2000, step="counting", counts={"rows": number})
        reporter.result({"rows": 2000})
    found = get(store, job)
    assert found.state is JobState.RUNNING
    assert (found.step, found.counts, found.result) == ("counting", {"rows": 1999}, {"rows": 2000})
    events = [event for event in store.events(job.id) if event.type == "progress"]
    assert 1 <= len(events) <= 20


def test_a_run_without_news_beats(store: JobStore, server: redis_servers.Server) -> None:
    job, run = claimed(store)
    with Reporter(run, lambda: open_store(server)):
        wait_until(lambda: get(store, job).heartbeat_ms, timeout_s=PATIENCE_S, what="a first sign of life")
        first = get(store, job).heartbeat_ms
        wait_until(lambda: get(store, job).heartbeat_ms != first, timeout_s=PATIENCE_S, what="another")
    assert [event.type for event in store.events(job.id)].count("progress") == 0


def test_a_cancellation_and_a_later_attempt_are_heard_of(store: JobStore, server: redis_servers.Server) -> None:
    job, run = claimed(store)
    with Reporter(run, lambda: open_store(server)) as reporter:
        reporter.progress(1)
        assert not reporter.is_asked_to_stop
        store.cancel(job.id)
        wait_until(lambda: reporter.is_asked_to_stop, timeout_s=PATIENCE_S, what="the reporter to hear of it")
    other, its_run = claimed(store, max_attempts=2)
    store.fail(other.id, 1, "WORKER_LOST", "gone")
    with Reporter(its_run, lambda: open_store(server)) as reporter:
        wait_until(lambda: reporter.is_asked_to_stop, timeout_s=PATIENCE_S, what="the reporter to hear of it")


def test_redis_that_lost_the_job_is_no_reason_to_stop(store: JobStore, server: redis_servers.Server) -> None:
    job, run = claimed(store)
    with Reporter(run, lambda: open_store(server)) as reporter:
        wait_until(lambda: get(store, job).heartbeat_ms, timeout_s=PATIENCE_S, what="a sign of life")
        server.client().flushall()
        store.restore(job)
        reporter.progress(50)
        wait_until(lambda: get(store, job).percent == 50, timeout_s=PATIENCE_S, what="the report to arrive")
        assert not reporter.is_asked_to_stop


def test_a_redis_that_is_away_or_hangs_slows_nothing_and_hears_of_it_later(
    store: JobStore, server: redis_servers.Server
) -> None:
    import signal

    job, run = claimed(store)
    server.signal(signal.SIGSTOP)
    with Reporter(run, lambda: JobStore(redis.Redis(port=server.port), JobStoreOptions(timeout_s=0.2))) as reporter:
        began = time.monotonic()
        for number in range(1000):
            reporter.progress(number / 10, message=str(number))
        assert time.monotonic() - began < 5
        server.signal(signal.SIGCONT)
        wait_until(lambda: get(store, job).message == "999", timeout_s=PATIENCE_S, what="the report to arrive")


def test_a_run_without_a_job_reports_to_nobody() -> None:
    def never() -> JobStore:
        raise AssertionError

    with Reporter(None, never) as reporter:
        reporter.progress(10)
        reporter.result({"a": 1})
        assert not reporter.is_asked_to_stop
