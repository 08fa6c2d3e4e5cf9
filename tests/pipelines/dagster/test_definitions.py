"""What Dagster loads: the asset graph, its descriptions, its jobs; without any database and without deprecated API."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from background_jobs.dagster_bridge.run_tags import MAX_RUNTIME
from dbsql import sql_root
from pipelines.assets.columns import table_schema
from pipelines.assets.tables import DIMENSIONS, FACTS
from pipelines.definitions import defs
from pipelines.refresh import all_rollups
from pipelines.schedules import verify_history_schedule
from tests.warehouse import Installation

ROOT = Path(__file__).parents[3]
SNAPSHOT = Path(__file__).with_name("graph.json")
TABLES = (*DIMENSIONS, *FACTS, *(rollup.name for rollup in all_rollups()))

# Importing and resolving everything, where Dagster's own warnings are errors; pydantic's, about Dagster's code, are not.
_STRICT_LOAD = """
import warnings
from pydantic.warnings import PydanticDeprecatedSince20
from dagster_shared.utils.warnings import BetaWarning, PreviewWarning, SupersessionWarning
for kind in (DeprecationWarning, BetaWarning, PreviewWarning, SupersessionWarning):
    warnings.simplefilter("error", kind)
warnings.simplefilter("ignore", PydanticDeprecatedSince20)
from pipelines.definitions import defs
import dagster
dagster.Definitions.validate_loadable(defs)
"""


def graph() -> dict[str, Any]:
    """Every asset as the snapshot has it: group and parents."""
    resolved = defs.resolve_asset_graph()
    return {
        key.to_user_string(): {
            "group": resolved.get(key).group_name,
            "parents": sorted(parent.to_user_string() for parent in resolved.get(key).parent_keys),
        }
        for key in sorted(resolved.get_all_asset_keys())
    }


def test_graph_is_as_the_snapshot_says() -> None:
    """After a wanted change: `python -m tests.pipelines.dagster.test_definitions` writes the snapshot again."""
    assert graph() == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_data_flows_one_way() -> None:
    order = ["source", "capture", "dimensions", "facts", "rollups"]
    assets = graph()
    for about in assets.values():
        for parent in about["parents"]:
            if about["group"] != "maintenance":
                assert order.index(assets[parent]["group"]) <= order.index(about["group"])


def test_definitions_load_without_settings_and_without_deprecated_api() -> None:
    environment = {"PATH": "", "PYTHONPATH": str(ROOT), "SALESPULSE_DATA_DIR": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", _STRICT_LOAD], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_workspace_loads_the_same_definitions() -> None:
    (entry,) = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    assert entry["python_module"]["module_name"] == "pipelines.definitions"
    from dagster._core.workspace.load import location_origins_from_yaml_paths

    (origin,) = location_origins_from_yaml_paths([str(ROOT / "workspace.yaml")])
    target = origin.loadable_target_origin
    assert target.module_name == "pipelines.definitions"
    assert Path(target.working_directory).resolve() == ROOT


def test_every_asset_is_described_owned_and_of_a_kind() -> None:
    resolved = defs.resolve_asset_graph()
    for key in resolved.get_all_asset_keys():
        node = resolved.get(key)
        assert node.description, key
        assert list(node.owners) == ["team:data"], key
        assert "postgres" in node.kinds, key


def test_every_table_of_the_refresh_is_watched_for_freshness() -> None:
    resolved = defs.resolve_asset_graph()
    for name in TABLES:
        node = resolved.get(dg.AssetKey(["salespulse", name]))
        assert node.freshness_policy is not None, name
        assert node.metadata["dagster/table_name"] == f"salespulse.{name}"


def test_there_is_a_rollup_asset_per_file() -> None:
    files = {path.stem for path in (sql_root() / "rollups").glob("*.sql")}
    assert {name.split("/")[1] for name, about in graph().items() if about["group"] == "rollups"} == files


@pytest.mark.parametrize("name", TABLES)
def test_column_schema_is_the_catalogues(installation: Installation, name: str) -> None:
    connection = installation.admin()
    catalogue = connection.execute(
        "SELECT attname, format_type(atttypid, NULL), attnotnull, col_description(attrelid, attnum) FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        [f"salespulse.{name}"],
    ).fetchall()
    columns = table_schema(name).columns
    types = connection.execute(
        "SELECT array_agg(t::regtype::text ORDER BY n) FROM unnest(%s::text[]) WITH ORDINALITY AS u (t, n)",
        [[column.type for column in columns]],
    ).fetchone()
    assert types is not None
    described = [
        (column.name, type_name, not column.constraints.nullable, column.description)
        for column, type_name in zip(columns, types[0], strict=True)
    ]
    assert described == catalogue
    assert all(column.description for column in columns)


def test_every_job_has_an_end_and_one_process() -> None:
    for name in (
        "refresh_job",
        "backfill_job",
        "verify_job",
        "health_job",
        "repair_job",
        "observe_job",
        "maintenance_job",
    ):
        job = defs.resolve_job_def(name)
        assert int(job.tags[MAX_RUNTIME]) > 0
        assert job.executor_def is dg.in_process_executor


def test_refresh_is_scheduled_every_ten_minutes() -> None:
    schedule = defs.resolve_schedule_def("refresh_schedule")
    assert schedule.cron_schedule == "*/10 * * * *"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_history_is_verified_a_month_a_night() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 11, 23, 3, 15))  # noqa: DTZ001
    (request,) = verify_history_schedule.evaluate_tick(context).run_requests or []
    config = request.run_config["ops"]["verification"]["config"]
    assert config["from_date"].endswith("-01")
    assert config["from_date"] < config["to_date"]
    defs.resolve_job_def("verify_job")
    assert request.tags["salespulse/month"] == config["from_date"][:7]


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(graph(), indent=2) + "\n", encoding="utf-8")
