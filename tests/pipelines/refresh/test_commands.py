"""`salespulse refresh | backfill | verify | repair | rebuild | reconcile`, as a user types them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.refresh import RefreshResult
from sample_app.synthetic import generate
from tests.docs.pages import Reader
from tests.warehouse import Installation, one

_DRIFT = (
    "UPDATE salespulse.daily_store_sales SET gross_amount = gross_amount + 0.01 "
    "WHERE ctid = (SELECT min(ctid) FROM salespulse.daily_store_sales)"
)


@pytest.fixture
def typist(installation: Installation, tmp_path: Path) -> Reader:
    generate(installation.admin(), tenants=2, sales=120, days=40)
    return Reader(installation, tmp_path)


def test_refresh_and_backfill_say_what_they_did(installation: Installation, typist: Reader) -> None:
    assert "in quarantine, as of 20" in typist.types(["refresh"])
    assert installation.rollup_errors() == {}
    assert typist.reads(["refresh"])["documents"] == 0
    everything = one(installation.admin(), "SELECT count(*) FROM salespulse.fact_document")
    assert typist.reads(["backfill"])["documents"] == everything
    some = typist.reads(["backfill", "--from", "2025-12-20", "--to", "2025-12-24"])["documents"]
    assert 0 < some < everything
    assert installation.rollup_errors() == {}


def test_verify_fails_on_a_cent_and_repair_names_and_mends_it(installation: Installation, typist: Reader) -> None:
    typist.types(["refresh"])
    assert ": no differences (" in typist.types(["verify"])
    installation.admin().execute(_DRIFT.encode())
    report = typist.reads(["verify"], fails=True)
    assert (report["is_exact"], report["drifted_row_count"]) == (False, 1)
    assert "daily_store_sales" in typist.types(["verify"], fails=True)
    assert "repaired 0 documents and 1 rollup rows" in typist.types(["repair"])
    assert typist.reads(["verify"])["is_exact"]
    assert installation.rollup_errors() == {}


def test_rebuild_takes_one_rollup_or_all(installation: Installation, typist: Reader) -> None:
    typist.types(["refresh"])
    installation.admin().execute(_DRIFT.encode())
    assert "no differences" in typist.types(["rebuild", "daily_product_sales"])
    assert "repaired 1 rows" in typist.types(["rebuild", "daily_store_sales"])
    installation.admin().execute("DELETE FROM salespulse.hourly_store_sales")
    written = typist.reads(["rebuild", "all"])["rows_written"]
    assert {name for name, rows in written.items() if rows} == {"hourly_store_sales"}
    assert installation.rollup_errors() == {}


def test_reconcile_accepts_another_cluster(
    installation: Installation, typist: Reader, refreshed: Callable[..., RefreshResult]
) -> None:
    refreshed()
    admin = installation.admin()
    admin.execute("UPDATE salespulse.refresh_state SET system_identifier = '1'")
    assert typist.types(["refresh"], fails=True) == ""
    assert typist.reads(["reconcile", "--new-source"])["documents"] > 0
    assert typist.reads(["refresh"])["documents"] == 0
    assert one(admin, "SELECT count(*) FROM salespulse.continuity_event") == 1
    assert installation.rollup_errors() == {}
