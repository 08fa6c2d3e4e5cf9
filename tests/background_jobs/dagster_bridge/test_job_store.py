"""Refresh requests of schedule and sensor: they coalesce, and Dagster launches the run where the job store can't."""

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import redis

from background_jobs.dagster_bridge.job_store import request_refresh
from background_jobs.kinds import get_kind
from background_jobs.store import Caps, JobStore
from dbconnect import load_settings
from pipelines.schedules import refresh_schedule
from tests.servers import redis_servers


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis_servers.Server]:
    with redis_servers.one(tmp_path) as redis_server:
        monkeypatch.setenv("SALESPULSE_DATA_DIR", "/nonexistent")
        monkeypatch.setenv("SALESPULSE_REDIS_URL", f"redis://127.0.0.1:{redis_server.port}/0")
        yield redis_server


def request(*, draining: bool = False) -> str | None:
    return request_refresh(subject="test", is_draining=lambda: draining)


def test_requests_join_until_the_job_is_claimed(server: redis_servers.Server) -> None:
    store = JobStore(redis.Redis(port=server.port))
    first = {request() for _ in range(20)}
    assert len(first) == 1
    assert None not in first
    store.claim(limit=1, caps=Caps())
    follow_up = {request() for _ in range(20)}
    assert len(follow_up) == 1
    assert follow_up.isdisjoint(first)
    (job,) = [job for job in store.list("").jobs if job.id in follow_up]
    assert (job.joined, job.params, job.priority) == (19, {"drain_seconds": None}, 5)
    store.close()


def test_a_run_may_drain_for_as_long_as_the_setting_says(
    server: redis_servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than the limit over HTTP: otherwise no refresh would be requested at all."""
    monkeypatch.setenv("SALESPULSE_DRAIN_SECONDS", "3000")
    assert request() is not None
    kind = get_kind("refresh_sales_summary")
    (job,) = JobStore(redis.Redis(port=server.port)).list("").jobs
    assert kind.params.model_validate(job.params).op_config("") == {"drain_seconds": None}
    assert kind.deadlines.run_s > load_settings().drain_seconds


def test_a_job_that_no_bridge_claims_is_not_relied_on(
    server: redis_servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert request() is not None
    later_s = time.time() + 11
    monkeypatch.setattr("background_jobs.dagster_bridge.job_store.time.time", lambda: later_s)
    assert request() is None
    assert request(draining=True) is not None


def test_without_redis_the_caller_launches_the_run(server: redis_servers.Server) -> None:
    server.kill()
    assert request() is None


def test_the_schedule_requests_the_same_way(server: redis_servers.Server, instance: dg.DagsterInstance) -> None:
    context = dg.build_schedule_context(instance=instance)
    result = refresh_schedule.evaluate_tick(context)
    assert not result.run_requests
    assert "submitted as job" in (result.skip_message or "")
    server.kill()
    assert len(refresh_schedule.evaluate_tick(context).run_requests or []) == 1


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as redis_server:
        yield redis_server
