"""docs/howto/add-a-rollup.md, followed to the letter in a copy of `dbsql`."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from pipelines.refresh import RefreshResult, RollupError
from pipelines.refresh.rollups import RELATIONS, parse_rollup
from sample_app.synthetic import generate
from tests.docs.pages import ROOT, Reader, read_page, shell_lines, titled_blocks
from tests.expected_rollups import COLUMNS, Rollup, expected_rollup
from tests.warehouse import Installation

PAGE = read_page("docs/howto/add-a-rollup.md")
BLOCKS = titled_blocks(PAGE)
MEASURES = ("sale_count", "return_count", "gross_amount", "discount_amount", "refund_amount")
_STORED = """
SELECT t.tenant_id, s.store_id, r.business_month,
    r.sale_count, r.return_count, r.gross_amount, r.discount_amount, r.refund_amount
FROM salespulse.monthly_store_sales AS r
JOIN salespulse.dim_tenant AS t ON t.tenant_key = r.tenant_key
JOIN salespulse.dim_store AS s ON s.store_key = r.store_key
"""
# Plain SQL over the application's tables; a row that only returns contribute to is there with zeros.
_HOUR_BY_GROUP = """
WITH line AS (
    SELECT s.tenant_id, s.store_id, s.sold_at AS moment, i.product_id, 1 AS lines, i.quantity * i.unit_price AS gross
    FROM retail.sale_items AS i JOIN retail.sales AS s ON s.id = i.sale_id
    WHERE s.status = 'completed' AND s.deleted_at IS NULL
    UNION ALL
    SELECT r.tenant_id, r.store_id, r.returned_at, i.product_id, 0, 0
    FROM retail.sales_return_items AS i JOIN retail.sales_returns AS r ON r.id = i.sales_return_id
    WHERE r.status = 'completed' AND r.deleted_at IS NULL
)
SELECT d.tenant_key, extract(hour FROM l.moment AT TIME ZONE coalesce(s.timezone, t.timezone))::integer,
    p.product_group_id, sum(l.lines)::bigint, sum(l.gross)
FROM line AS l
JOIN retail.stores AS s ON s.id = l.store_id
JOIN retail.tenants AS t ON t.id = l.tenant_id
JOIN salespulse.dim_tenant AS d ON d.tenant_id = l.tenant_id
LEFT JOIN retail.products AS p ON p.id = l.product_id
GROUP BY 1, 2, 3
"""


@pytest.fixture
def reader(installation: Installation, tmp_path: Path, request: pytest.FixtureRequest) -> Reader:
    """Somebody with a copy of `dbsql` that has the page's two files of a rollup."""
    rollup = getattr(request, "param", "monthly_store_sales")
    shutil.copytree(ROOT / "dbsql", tmp_path / "dbsql", ignore=shutil.ignore_patterns("__pycache__"))
    files = {title: text for title, text in BLOCKS.items() if title.startswith("dbsql/") and rollup in title}
    assert len(files) == 2
    for title, text in files.items():
        (tmp_path / title.replace("NNNN", "9000")).write_text(text, encoding="utf-8")
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


def stored(installation: Installation) -> Rollup:
    return {tuple(row[:3]): tuple(row[3:]) for row in installation.admin().execute(_STORED).fetchall()}


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
    assert stored(installation) == {}
    assert reader.reads(rebuild)["rows_written"] == {"monthly_store_sales": len(expected(installation))}
    assert stored(installation) == expected(installation) != {}
    assert "no differences" in reader.types(verify)
    assert_tenants_are_apart(installation)

    # From now on a refresh keeps it, and drift in it is found and repaired.
    application = installation.application()
    application.execute("DELETE FROM retail.sales WHERE id IN (SELECT id FROM retail.sales ORDER BY id LIMIT 20)")
    application.execute("UPDATE retail.sale_items SET unit_price = unit_price + 0.01")
    assert reader.reads(["refresh"])["rows_written"]["monthly_store_sales"] > 0
    assert stored(installation) == expected(installation)
    installation.admin().execute(
        "UPDATE salespulse.monthly_store_sales SET gross_amount = gross_amount + 0.01 "
        "WHERE ctid = (SELECT min(ctid) FROM salespulse.monthly_store_sales)"
    )
    report = reader.reads(verify, fails=True)
    assert [row.split()[0].rstrip(":") for row in report["drifted_rows"]] == ["monthly_store_sales"]
    reader.types(["repair"])
    assert stored(installation) == expected(installation)


@pytest.mark.parametrize("reader", ["hourly_product_sales"], indirect=True)
def test_a_grain_with_an_attribute_of_a_dimension_is_read_by_joining_it(
    installation: Installation, refreshed: Callable[..., RefreshResult], reader: Reader
) -> None:
    """Hour by product group: exact after the rebuild, after a refresh of changed documents, and after a group changed."""

    def grouped(rows: Iterable[Any]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        return {tuple(row[:3]): tuple(row[3:]) for row in rows}

    def assert_exact() -> None:
        admin = installation.admin()
        rows = grouped(admin.execute(BLOCKS["hour_by_product_group.sql"].encode()).fetchall())
        assert rows == grouped(admin.execute(_HOUR_BY_GROUP).fetchall()) != {}

    generate(installation.admin(), tenants=2, sales=200, days=10)
    refreshed()
    reader.types(["migrate"])
    reader.types(["rebuild", "hourly_product_sales"])
    assert_exact()
    application = installation.application()
    application.execute("DELETE FROM retail.sales WHERE id IN (SELECT id FROM retail.sales ORDER BY id LIMIT 20)")
    # The lines of these stay as they are: only their documents' hour changes.
    application.execute(
        "UPDATE retail.sales SET sold_at = sold_at + interval '1 hour' "
        "WHERE id IN (SELECT id FROM retail.sales ORDER BY id DESC LIMIT 30)"
    )
    application.execute(
        "UPDATE retail.sale_items SET quantity = quantity + 1 WHERE id IN (SELECT min(id) FROM retail.sale_items)"
    )
    application.execute(
        "UPDATE retail.products SET product_group_id = NULL WHERE id = (SELECT min(id) FROM retail.products)"
    )
    assert reader.reads(["refresh"])["rows_written"]["hourly_product_sales"] > 0
    assert_exact()
    assert "no differences" in reader.types(["verify"])


def test_the_page_lists_the_grain_columns() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| (`tenant_key`[^|]*) \|$", PAGE, re.MULTILINE)
    assert {name: tuple(re.findall(r"`(\w+)`", columns)) for name, columns in rows} == {
        name: columns for name, (_, columns) in RELATIONS.items()
    }


def test_a_grain_column_that_does_not_exist_is_refused() -> None:
    text = BLOCKS["dbsql/rollups/hourly_product_sales.sql"].replace(
        ", product_key\n-- counts", ", product_group\n-- counts"
    )
    with pytest.raises(
        RollupError, match="document_line_with_header has no grain column 'product_group', only tenant_key"
    ):
        parse_rollup("hourly_product_sales", text)


def test_dagster_has_its_asset(reader: Reader) -> None:
    columns = "node.metadata['dagster/column_schema'].columns"
    printed = reader.python(
        "from pipelines.definitions import defs\n"
        "import dagster as dg\n"
        "node = defs.resolve_asset_graph().get(dg.AssetKey(['salespulse', 'monthly_store_sales']))\n"
        f"print(node.group_name, node.description.splitlines()[0], len([c for c in {columns} if c.description]))"
    )
    assert printed.strip() == "rollups One row per tenant, store and month (its first day). 8"


def test_the_sql_linter_accepts_the_files(tmp_path: Path) -> None:
    for number, text in enumerate(BLOCKS.values()):
        (tmp_path / f"{number}.sql").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "sqlfluff", "lint", "--config", str(ROOT / ".sqlfluff"), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("missing", ["tenant_key", "store_key", "business_month"])
def test_a_grain_without_what_it_needs_is_refused(missing: str) -> None:
    text = BLOCKS["dbsql/rollups/monthly_store_sales.sql"]
    header = "-- grain: tenant_key, store_key, business_month"
    grain = ", ".join(name for name in ("tenant_key", "store_key", "business_month") if name != missing)
    with pytest.raises(RollupError, match="grain"):
        parse_rollup("monthly_store_sales", text.replace(header, f"-- grain: {grain}"))
