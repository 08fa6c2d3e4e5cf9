"""docs/howto/add-a-rollup.md, followed to the letter in a copy of `dbsql`."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.refresh import RefreshResult, RollupError
from pipelines.refresh.rollups import parse_rollup
from sample_app.synthetic import generate
from tests.docs.pages import ROOT, Reader, read_page, shell_lines, titled_blocks
from tests.expected_rollups import COLUMNS, Rollup, expected_rollup
from tests.warehouse import Installation

PAGE = read_page("docs/howto/add-a-rollup.md")
MEASURES = ("sale_count", "return_count", "gross_amount", "discount_amount", "refund_amount")
_FOUND = """
SELECT t.tenant_id, s.store_id, r.business_month,
    r.sale_count, r.return_count, r.gross_amount, r.discount_amount, r.refund_amount
FROM salespulse.monthly_store_sales AS r
JOIN salespulse.dim_tenant AS t ON t.tenant_key = r.tenant_key
JOIN salespulse.dim_store AS s ON s.store_key = r.store_key
"""


@pytest.fixture
def reader(installation: Installation, tmp_path: Path) -> Reader:
    """Somebody with a copy of `dbsql` that has the page's two files."""
    shutil.copytree(ROOT / "dbsql", tmp_path / "dbsql", ignore=shutil.ignore_patterns("__pycache__"))
    taken = len(list((tmp_path / "dbsql" / "migrations" / "warehouse").glob("*.sql")))
    blocks = titled_blocks(PAGE)
    assert len(blocks) == 2
    for title, text in blocks.items():
        (tmp_path / title.replace("NNNN", f"{taken + 1:04}")).write_text(text, encoding="utf-8")
    return Reader(installation, tmp_path, has_packages=True)


def expected(installation: Installation) -> Rollup:
    """Months by store, summed here from plain SQL over the application's tables."""
    places = [COLUMNS["daily_store_sales"][1].index(name) for name in MEASURES]
    months: dict[tuple[Any, ...], list[Any]] = {}
    for (tenant, store, day), values in expected_rollup(installation.admin(), "daily_store_sales").items():
        sums = months.setdefault((tenant, store, day.replace(day=1)), [0] * len(MEASURES))
        for number, place in enumerate(places):
            sums[number] += values[place]
    return {key: tuple(sums) for key, sums in months.items()}


def found(installation: Installation) -> Rollup:
    return {tuple(row[:3]): tuple(row[3:]) for row in installation.admin().execute(_FOUND).fetchall()}


def assert_tenants_are_apart(installation: Installation) -> None:
    dashboard = installation.route("salespulse_dashboard")
    everything = "SELECT DISTINCT tenant_key FROM salespulse.monthly_store_sales"
    assert dashboard.execute(everything).fetchall() == []
    with dashboard.transaction():
        dashboard.execute("SELECT set_config('salespulse.tenant_key', '2', true)")
        assert dashboard.execute(everything).fetchall() == [{"tenant_key": 2}]


def test_the_page_adds_a_rollup_that_stays_exact(
    installation: Installation, refreshed: Callable[..., RefreshResult], reader: Reader
) -> None:
    generate(installation.admin(), tenants=2, sales=200, days=70)
    refreshed()
    migrate, rebuild, verify = shell_lines(PAGE)
    assert "monthly_store_sales" in reader.types(migrate)
    assert found(installation) == {}
    assert reader.reads(rebuild)["rows_written"] == {"monthly_store_sales": len(expected(installation))}
    assert found(installation) == expected(installation) != {}
    assert "exact" in reader.types(verify)
    assert_tenants_are_apart(installation)

    # From now on a refresh keeps it, and drift in it is found and repaired.
    application = installation.application()
    application.execute("DELETE FROM retail.sales WHERE id IN (SELECT id FROM retail.sales ORDER BY id LIMIT 20)")
    application.execute("UPDATE retail.sale_items SET unit_price = unit_price + 0.01")
    assert reader.reads(["refresh"])["rows_written"]["monthly_store_sales"] > 0
    assert found(installation) == expected(installation)
    installation.admin().execute(
        "UPDATE salespulse.monthly_store_sales SET gross_amount = gross_amount + 0.01 "
        "WHERE ctid = (SELECT min(ctid) FROM salespulse.monthly_store_sales)"
    )
    report = reader.reads(verify, fails=True)
    assert [row.split()[0].rstrip(":") for row in report["drifted_rows"]] == ["monthly_store_sales"]
    reader.types(["repair"])
    assert found(installation) == expected(installation)


def test_dagster_has_its_asset(reader: Reader) -> None:
    printed = reader.python(
        "from pipelines.definitions import defs\n"
        "import dagster as dg\n"
        "node = defs.resolve_asset_graph().get(dg.AssetKey(['salespulse', 'monthly_store_sales']))\n"
        "print(node.group_name, node.description.splitlines()[0], len(node.metadata['dagster/column_schema'].columns))"
    )
    assert printed.strip() == "rollups One row per tenant, store and month (its first day). 8"


def test_the_sql_linter_accepts_the_files(tmp_path: Path) -> None:
    for number, text in enumerate(titled_blocks(PAGE).values()):
        (tmp_path / f"{number}.sql").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "sqlfluff", "lint", "--config", str(ROOT / ".sqlfluff"), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("missing", ["tenant_key", "store_key", "business_month"])
def test_a_grain_without_what_it_needs_is_refused(missing: str) -> None:
    text = titled_blocks(PAGE)["dbsql/rollups/monthly_store_sales.sql"]
    header = "-- grain: tenant_key, store_key, business_month"
    grain = ", ".join(name for name in ("tenant_key", "store_key", "business_month") if name != missing)
    with pytest.raises(RollupError, match="grain"):
        parse_rollup("monthly_store_sales", text.replace(header, f"-- grain: {grain}"))
