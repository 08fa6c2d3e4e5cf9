"""Retention on Dagster's real PostgreSQL storage: what goes, what stays."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from pipelines.definitions import defs
from pipelines.ops.retention import prune_events, prune_runs
from pipelines.refresh import connect_route
from tests.servers import Database
from tests.warehouse import Installation, one

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=1)


@dg.asset
def plain() -> dg.MaterializeResult[None]:
    """An asset without partitions."""
    return dg.MaterializeResult(metadata={"rows": 1})


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def divided() -> dg.MaterializeResult[None]:
    """An asset with partitions."""
    return dg.MaterializeResult()


JOBS = dg.Definitions(
    assets=[plain, divided],
    jobs=[dg.define_asset_job("plain_job", [plain]), dg.define_asset_job("divided_job", [divided])],
)


@pytest.fixture
def stored(database: Database, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance whose storage is a database on the pair."""
    url = database.primary_url.replace("postgresql://", "postgresql+psycopg2://")
    (tmp_path / "dagster.yaml").write_text(f"storage:\n  postgres:\n    postgres_url: {url}\n", encoding="utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def execute(instance: dg.DagsterInstance, job: str, partition: str | None = None) -> str:
    return JOBS.resolve_job_def(job).execute_in_process(instance=instance, partition_key=partition).run_id


def test_old_log_lines_go_and_asset_events_stay(stored: dg.DagsterInstance, database: Database) -> None:
    ended = execute(stored, "divided_job", "a")
    live = stored.create_run_for_job(JOBS.resolve_job_def("plain_job"), status=dg.DagsterRunStatus.STARTED)
    stored.report_engine_event("still going", live)
    with connect_route(database.primary_url, "storage") as storage:
        assert prune_events(storage, NOW - timedelta(days=1)) == 0
        assert prune_events(storage, LATER) > 0
        kinds = {row["dagster_event_type"] for row in storage.execute("SELECT dagster_event_type FROM event_logs")}
    assert kinds == {"ASSET_MATERIALIZATION", "ASSET_MATERIALIZATION_PLANNED", "ENGINE_EVENT"}
    assert stored.get_materialized_partitions(divided.key) == {"a"}
    assert stored.get_run_by_id(ended) is not None
    assert stored.all_logs(live.run_id)[-1].message == "still going"


def test_the_newest_observation_of_an_asset_stays(stored: dg.DagsterInstance, database: Database) -> None:
    for lag in (1, 2, 3):
        stored.report_runless_asset_event(dg.AssetObservation(plain.key, metadata={"lag": lag}))
    with connect_route(database.primary_url, "storage") as storage:
        assert prune_events(storage, LATER) == 2
    record = stored.fetch_observations(plain.key, limit=10).records
    assert [each.asset_observation.metadata["lag"].value for each in record if each.asset_observation] == [3]


def test_old_runs_go_but_partitions_and_the_newest_stay(stored: dg.DagsterInstance) -> None:
    month = execute(stored, "divided_job", "b")
    old, newer, newest = (execute(stored, "plain_job") for _ in range(3))
    assert prune_runs(stored, NOW - timedelta(days=1)) == 0
    assert prune_runs(stored, LATER, limit=1) == 1
    assert not stored.has_run(old)
    assert prune_runs(stored, LATER) == 1
    assert not stored.has_run(newer)
    assert stored.has_run(newest)
    assert stored.has_run(month)
    assert stored.get_materialized_partitions(divided.key) == {"b"}
    assert stored.get_latest_materialization_event(plain.key) is not None


def test_maintenance_job_prunes_all_three(
    current_shop: Installation, stored: dg.DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALESPULSE_DAGSTER_URL", database.primary_url)
    monkeypatch.setenv("SALESPULSE_EVENT_KEEP_DAYS", "0.000001")
    monkeypatch.setenv("SALESPULSE_RUN_KEEP_DAYS", "0.000001")
    admin = current_shop.admin()
    admin.execute(
        "INSERT INTO salespulse.refresh_log (started_at, finished_at, as_of, horizon, changed_documents, "
        "changed_dimension_rows, rows_written) SELECT now() - interval '9 days', now() - interval '9 days', now(), "
        "'1', 1, 1, 1 FROM generate_series(1, 3)"
    )
    first = execute(stored, "plain_job")
    execute(stored, "plain_job")
    result = defs.resolve_job_def("maintenance_job").execute_in_process(instance=stored)
    assert result.success
    assert not stored.has_run(first)
    assert one(admin, "SELECT count(*) FROM salespulse.refresh_log") == 1
    with psycopg.connect(database.primary_url) as storage:
        assert one(storage, "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'STEP_SUCCESS'") <= 2
