"""What the schedule and the sensor ask for: one job, however many ask; Dagster itself where the job store does not take it."""

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import redis

from background_jobs.dagster_bridge.submit import submit_refresh
from background_jobs.kinds import kind_named
from background_jobs.store import Caps, JobStore
from dbconnect import load_settings
from pipelines.schedules import refresh_schedule
from tests.servers import redis_servers


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis_servers.Server]:
    with redis_servers.one(tmp_path) as made:
        monkeypatch.setenv("SALESPULSE_DATA_DIR", "/nonexistent")
        monkeypatch.setenv("SALESPULSE_REDIS_URL", f"redis://127.0.0.1:{made.port}/0")
        yield made


def ask(*, draining: bool = False) -> str | None:
    return submit_refresh(subject="test", is_draining=lambda: draining)


def test_triggers_join_until_the_job_is_claimed(server: redis_servers.Server) -> None:
    store = JobStore(redis.Redis(port=server.port))
    first = {ask() for _ in range(20)}
    assert len(first) == 1
    assert None not in first
    store.claim(most=1, caps=Caps())
    follow_up = {ask() for _ in range(20)}
    assert len(follow_up) == 1
    assert follow_up.isdisjoint(first)
    (job,) = [job for job in store.list("").jobs if job.id in follow_up]
    assert (job.joined, job.params, job.priority) == (19, {"drain_seconds": None}, 5)
    store.close()


def test_a_run_may_drain_for_as_long_as_the_setting_says(
    server: redis_servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever who asks over HTTP may wish: otherwise no refresh would be asked for at all."""
    monkeypatch.setenv("SALESPULSE_DRAIN_SECONDS", "3000")
    assert ask() is not None
    kind = kind_named("refresh_sales_summary")
    (job,) = JobStore(redis.Redis(port=server.port)).list("").jobs
    assert kind.params.model_validate(job.params).op_config("") == {"drain_seconds": None}
    assert kind.deadlines.run_s > load_settings().drain_seconds


def test_a_job_that_nobody_takes_is_not_relied_on(
    server: redis_servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask() is not None
    later_s = time.time() + 11
    monkeypatch.setattr("background_jobs.dagster_bridge.submit.time.time", lambda: later_s)
    assert ask() is None
    assert ask(draining=True) is not None


def test_without_redis_dagster_is_asked(server: redis_servers.Server) -> None:
    server.kill()
    assert ask() is None


def test_the_schedule_asks_the_same_way(server: redis_servers.Server, instance: dg.DagsterInstance) -> None:
    context = dg.build_schedule_context(instance=instance)
    told = refresh_schedule.evaluate_tick(context)
    assert not told.run_requests
    assert "asked for as job" in (told.skip_message or "")
    server.kill()
    assert len(refresh_schedule.evaluate_tick(context).run_requests or []) == 1


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made
