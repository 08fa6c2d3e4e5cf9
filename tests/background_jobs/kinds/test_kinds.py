"""The kinds of job: one per module, validated parameters, matching Dagster jobs, importable without Dagster."""

import subprocess
import sys

import pytest

from background_jobs.dagster_bridge.run_tags import MAX_RUNTIME
from background_jobs.kinds import (
    KINDS,
    JobParameterError,
    KindDefinitionError,
    Parameters,
    UnknownKindError,
    get_kind,
    job_kind,
)
from pipelines.definitions import defs

NAMES = {
    "hello_world", "refresh_sales_summary", "rebuild_sales_summary", "verify_sales_summary", "export_sales_report",
}  # fmt: skip


def test_the_kinds_are_the_files() -> None:
    assert set(KINDS) == NAMES
    with pytest.raises(UnknownKindError, match="hello_world"):
        get_kind("hello")


def test_no_kind_imports_dagster() -> None:
    code = "import sys; from background_jobs.kinds import KINDS; list(KINDS); assert 'dagster' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_kinds_own_deadline_comes_before_dagsters(name: str) -> None:
    kind = get_kind(name)
    job = defs.resolve_job_def(kind.job_name)
    assert kind.deadlines.run_s < int(job.tags[MAX_RUNTIME])
    assert kind.op_name in {node.name for node in job.nodes}


@pytest.mark.parametrize(
    ("name", "params", "field", "message"),
    [
        ("hello_world", {"steps": 0}, "steps", "greater than or equal to 1"),
        ("hello_world", {"step": 1}, "step", "unknown parameter"),
        ("hello_world", {"steps": 10_000, "step_seconds": 1}, "", "600 seconds"),
        ("refresh_sales_summary", {"drain_seconds": 61}, "drain_seconds", "less than or equal to 60"),
        ("rebuild_sales_summary", {}, "", "either from_date and to_date, or rollup"),
        ("rebuild_sales_summary", {"from_date": "2026-01-01"}, "", "both from_date and to_date"),
        ("rebuild_sales_summary", {"rollup": "weekly"}, "rollup", "daily_store_sales"),
        ("verify_sales_summary", {"from_date": "2026-02-30"}, "from_date", "date"),
        ("verify_sales_summary", {"from_date": "2026-02-02", "to_date": "2026-02-01"}, "", "before"),
        ("export_sales_report", {"format": "pdf"}, "format", "'parquet'"),
    ],
)
def test_an_invalid_parameter_is_named(name: str, params: dict[str, object], field: str, message: str) -> None:
    with pytest.raises(JobParameterError, match=name) as error:
        get_kind(name).submission(tenant="t", params=params)
    (problem,) = error.value.problems
    assert problem.field == field
    assert message in problem.message


def test_an_export_is_for_one_tenant() -> None:
    with pytest.raises(JobParameterError, match="tenant: "):
        get_kind("export_sales_report").submission(tenant="")


def test_submissions_with_the_same_parameters_coalesce_if_the_kind_says_so() -> None:
    refresh = get_kind("refresh_sales_summary")
    keys = {refresh.submission(tenant="t", params=params).coalesce_key for params in ({}, {"drain_seconds": 0})}
    assert len(keys) == 1
    assert None not in keys
    assert refresh.submission(tenant="t", params={"drain_seconds": 1}).coalesce_key not in keys
    assert refresh.submission(tenant="t", coalesce=False).coalesce_key is None
    assert get_kind("hello_world").submission(tenant="t").coalesce_key is None


def test_a_kind_must_describe_itself() -> None:
    with pytest.raises(KindDefinitionError, match="docstring"):

        @job_kind("silent", job_name="j", op_name="o")
        class Silent(Parameters):
            __doc__ = None
