"""Backfill of a month: queues it, applies it with progress, resumes what an earlier run left."""

from datetime import UTC, date, datetime

import dagster as dg
import pytest

from pipelines.partitions import MONTHS, month_in_turn
from pipelines.progress import ProgressLog
from pipelines.refresh import RefreshOptions, RefreshResult, enqueue_range, refresh
from tests.pipelines.dagster.conftest import Run, metadata_of
from tests.warehouse import Installation, one


def test_a_month_is_read_again_and_drift_in_its_facts_goes(current_shop: Installation, run: Run) -> None:
    admin = current_shop.admin()
    admin.execute("DELETE FROM salespulse.fact_document_line WHERE business_date BETWEEN '2026-03-01' AND '2026-03-31'")
    result = run("backfill_job", partition_key="2026-03-01")
    metadata = metadata_of(result, "backfilled_month")
    assert metadata["from_date"] == "2026-03-01"
    assert metadata["to_date"] == "2026-03-31"
    assert metadata["queued_documents"] > 0
    assert metadata["changed_documents"] >= metadata["queued_documents"]
    assert metadata["is_resumed"] is False
    assert one(admin, "SELECT count(*) FROM salespulse.pending_document") == 0
    assert one(admin, "SELECT count(*) FROM salespulse.fact_document_line WHERE business_date >= '2026-03-01'") > 0


def test_what_an_earlier_run_left_is_resumed(current_shop: Installation, run: Run) -> None:
    connections = current_shop.connections()
    options = RefreshOptions(current_shop.mapping, batch_documents=20)
    enqueue_range(
        connections,
        current_shop.mapping,
        from_date=date(2026, 3, 1),
        to_date=date(2026, 3, 31),
        reason="backfill 2026-03",
    )
    queued = one(connections.warehouse, "SELECT count(*) FROM salespulse.pending_document")

    class StoppedError(Exception):
        pass

    def stop(result: RefreshResult) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        refresh(connections, options, progress=stop)
    metadata = metadata_of(run("backfill_job", partition_key="2026-03-01"), "backfilled_month")
    assert metadata["is_resumed"] is True
    assert metadata["queued_documents"] == queued - 20
    assert metadata["changed_documents"] == queued - 20
    assert current_shop.rollup_errors() == {}


def test_partition_status_shows_the_months_that_are_done(
    shop: Installation, run: Run, instance: dg.DagsterInstance
) -> None:
    run("backfill_job", partition_key="2026-02-01")
    key = dg.AssetKey(["salespulse", "backfilled_month"])
    assert instance.get_materialized_partitions(key) == {"2026-02-01"}


def test_months_reach_from_the_setting_to_the_present_one() -> None:
    keys = MONTHS.get_partition_keys(current_time=datetime(2026, 11, 23, tzinfo=UTC))
    assert keys[0] == "2010-12-01"
    assert keys[-1] == "2026-11-01"


def test_every_month_has_its_turn() -> None:
    first = date(2025, 11, 15)
    seen = [month_in_turn(date(2026, 2, day), first) for day in range(1, 5)]
    assert {start for start, _ in seen} == {date(2025, 11, 1), date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1)}
    assert (date(2026, 2, 1), date(2026, 2, 28)) in seen


class Lines:
    """Takes what a log would."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, line: str) -> None:
        self.lines.append(line)


def test_progress_is_a_line_every_few_seconds_and_none_when_nothing_was_applied() -> None:
    now_s = 0.0
    log = Lines()
    progress = ProgressLog(log, total=400, every_s=5, clock=lambda: now_s)  # type: ignore[arg-type]
    result = RefreshResult()
    for second in range(1, 21):
        now_s = float(second)
        result.applied.documents += 20 if second <= 10 else 0
        progress(result)
    assert [line.split(" documents")[0] for line in log.lines] == ["100 of 400", "200 of 400"]
    assert log.lines[0].endswith("20 documents/s")
