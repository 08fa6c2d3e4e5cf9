"""The refresh as Dagster runs it: one atomic step, its metadata, its errors."""

import re

import dagster as dg
import pytest

from pipelines.assets.tables import DIMENSIONS, FACTS
from pipelines.refresh import all_rollups
from tests.pipelines.dagster.conftest import Run, change_a_sale, metadata_of
from tests.warehouse import Installation, one

TABLES = {*DIMENSIONS, *FACTS, *(rollup.name for rollup in all_rollups())}


def test_first_refresh_makes_every_table_in_one_step(shop: Installation, run: Run) -> None:
    result = run("refresh_job")
    assert {event.asset_key.path[-1] for event in result.get_asset_materialization_events()} == TABLES
    assert {event.step_key for event in result.all_events if event.is_step_event} == {"refresh"}
    assert shop.rollup_errors() == {}
    rows = one(shop.admin(), "SELECT count(*) FROM salespulse.fact_document")
    # PostgreSQL's running count, not a scan: near, not exact.
    assert metadata_of(result, "fact_document")["dagster/row_count"] == pytest.approx(rows, rel=0.1)


def test_metadata_tells_what_was_done(current_shop: Installation, run: Run) -> None:
    application = current_shop.application()
    change_a_sale(application)
    result = run("refresh_job")
    document = metadata_of(result, "fact_document")
    assert document["changed_documents"] == 1
    assert document["lines"] >= 1
    assert document["rows_written"] == 1
    assert document["pending_documents"] == 0
    assert document["horizon"] > 0
    assert document["lag_bytes"] >= 0
    assert 0 <= document["lag_s"] < 60
    assert {"resolve", "facts", "commit"} <= set(
        re.findall(r"^\| (\w+) \|", document["seconds_by_phase"], re.MULTILINE)
    )
    assert metadata_of(result, "monthly_customer_sales")["changed_documents"] == 1


def test_preview_and_plot(shop: Installation, run: Run) -> None:
    result = run("refresh_job")
    for rollup in all_rollups():
        lines = metadata_of(result, rollup.name)["preview"].splitlines()
        assert lines[0].startswith(f"| {' | '.join(rollup.grain)} |")
        assert 3 <= len(lines) <= 7
    plot = metadata_of(result, "daily_store_sales")["net_by_day"]
    assert "![net sales per day](data:image/svg+xml;" in plot
    assert "2026-03" in plot.splitlines()[0]


def test_events_of_a_run_stay_small(shop: Installation, instance: dg.DagsterInstance, run: Run) -> None:
    result = run("refresh_job")
    bytes_written = sum(len(dg.serialize_value(entry)) for entry in instance.all_logs(result.run_id))
    assert bytes_written < 120_000


def test_a_run_without_changes_writes_nothing(current_shop: Installation, run: Run) -> None:
    result = run("refresh_job")
    assert {metadata_of(result, name)["rows_written"] for name in (*FACTS, "daily_store_sales")} == {0}
