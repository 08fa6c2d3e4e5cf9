"""The Online Retail data set as one tenant: the published totals, and SQL over the tables against the file itself."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dbsql import sql_root
from sample_app import InvoiceFileError, LoadError, install_application, load_online_retail
from sample_app.online_retail import DATA_FILE, uuid5_maker
from sample_app.product_groups import CHARGES, GROUP_NAMES, OTHER, product_group
from tests.expected_rollups import expected_rollup
from tests.servers import Database, fresh_database
from tests.servers.postgres import PostgresPair

Connection = psycopg.Connection[tuple[object, ...]]

_LOAD_AND_WEIGH = """
import json, sys
from pathlib import Path
import psycopg
from sample_app import install_application, load_online_retail
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    install_application(connection)
    phases = {}
    counts = load_online_retail(
        connection, Path(sys.argv[2]), progress=lambda phase, done, total: phases.update({phase: [done, total]})
    )
# Not getrusage: across fork and exec its peak begins with the parent's, which is this test run's.
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
print(json.dumps({**counts.as_dict(), "peak_mb": peak, "phases": phases}, default=str))
"""


@pytest.fixture(scope="module")
def loaded(postgres_pair: PostgresPair) -> Iterator[tuple[str, dict[str, object]]]:
    """The whole data set, loaded once by a process of its own: its memory is measured."""
    name = fresh_database(postgres_pair)
    url = postgres_pair.primary.url(name)
    command = [sys.executable, "-c", _LOAD_AND_WEIGH, url, str(DATA_FILE)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=sql_root().parent)
    yield url, json.loads(done.stdout)
    postgres_pair.drop_database(name)


@pytest.fixture
def connection(loaded: tuple[str, dict[str, object]]) -> Iterator[Connection]:
    with psycopg.connect(loaded[0]) as connection:
        yield connection


@pytest.fixture
def empty(database: Database) -> Iterator[Connection]:
    with psycopg.connect(database.primary_url, autocommit=True) as connection:
        install_application(connection)
        yield connection


@pytest.fixture(scope="module")
def some_lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 3,000 lines, 26 cancelled ones among them."""
    path = tmp_path_factory.mktemp("lines") / "some.parquet"
    pq.write_table(pq.read_table(DATA_FILE).slice(0, 3000), path)
    return path


def test_the_published_totals(loaded: tuple[str, dict[str, object]]) -> None:
    counts = loaded[1]
    assert (counts["lines"], counts["invoices"], counts["stock_codes"]) == (541_909, 25_900, 4_070)
    assert (counts["customers"], counts["countries"]) == (4_372, 38)
    assert (counts["sales"], counts["returns"], counts["return_lines"]) == (22_064, 3_836, 9_288)
    assert counts["net_amount"] == "9747747.934"
    assert counts["phases"] == {"read": [541_909, 541_909], "load": [541_909, 541_909]}


def test_memory_stays_bounded(loaded: tuple[str, dict[str, object]]) -> None:
    assert int(str(loaded[1]["peak_mb"])) < 300


def test_the_tables_hold_the_published_totals(connection: Connection) -> None:
    one = connection.execute(
        """
        SELECT (SELECT count(*) FROM retail.sales), (SELECT count(*) FROM retail.sales_returns),
            (SELECT count(*) FROM retail.sale_items) + (SELECT count(*) FROM retail.sales_return_items),
            (SELECT count(*) FROM retail.products), (SELECT count(*) FROM retail.customers),
            (SELECT count(*) FROM retail.stores), (SELECT count(*) FROM retail.payments),
            (SELECT sum(quantity * unit_price) FROM retail.sale_items)
                - (SELECT sum(refund_amount) FROM retail.sales_return_items)
        """
    ).fetchone()
    assert one == (22_064, 3_836, 541_909, 4_070, 4_372, 38, 25_900, Decimal("9747747.934"))


def test_every_store_and_product_equals_the_file(connection: Connection) -> None:
    table = pq.read_table(DATA_FILE)
    amount = pc.multiply(table["unit_price"], table["quantity"].cast(pa.decimal128(12, 0)))
    table = table.append_column("amount", amount)
    by_country = table.group_by("country").aggregate([("amount", "sum"), ("quantity", "sum")]).to_pylist()
    by_code = table.group_by("stock_code").aggregate([("amount", "sum"), ("quantity", "sum")]).to_pylist()
    query = """
        SELECT {name}, sum(amount), sum(quantity) FROM (
            SELECT store_id, product_id, quantity, quantity * unit_price AS amount
            FROM retail.sale_items JOIN retail.sales ON sales.id = sale_id
            UNION ALL
            SELECT store_id, product_id, -quantity, -refund_amount
            FROM retail.sales_return_items JOIN retail.sales_returns ON sales_returns.id = sales_return_id
        ) AS line JOIN {table} ON {table}.id = {key} GROUP BY 1
    """
    stores = connection.execute(query.format(name="name", table="retail.stores", key="store_id").encode())
    assert {row[0]: row[1:] for row in stores} == {
        row["country"]: (row["amount_sum"], row["quantity_sum"]) for row in by_country
    }
    products = connection.execute(query.format(name="sku", table="retail.products", key="product_id").encode())
    assert {row[0]: row[1:] for row in products} == {
        row["stock_code"]: (row["amount_sum"], row["quantity_sum"]) for row in by_code
    }


def test_every_day_equals_the_file(connection: Connection) -> None:
    table = pq.read_table(DATA_FILE)
    table = table.append_column(
        "amount", pc.multiply(table["unit_price"], table["quantity"].cast(pa.decimal128(12, 0)))
    )
    days: Counter[object] = Counter()
    for row in table.group_by("invoice_no").aggregate([("amount", "sum"), ("invoice_date", "min")]).to_pylist():
        days[row["invoice_date_min"].date()] += row["amount_sum"]
    net_of_days: Counter[object] = Counter()
    for key, values in expected_rollup(connection, "daily_store_sales").items():
        net_of_days[key[2]] += values[11]
    assert net_of_days == days


def test_times_are_the_shop_clock_in_winter_and_summer(connection: Connection) -> None:
    rows = connection.execute(
        "SELECT receipt_number, sold_at FROM retail.sales WHERE receipt_number IN ('536365', '560772')"
    )
    assert dict(rows.fetchall()) == {
        "536365": datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        "560772": datetime(2011, 7, 20, 15, 12, tzinfo=UTC),
    }


def test_cancellations_adjustments_and_write_offs(connection: Connection) -> None:
    assert connection.execute(
        "SELECT min(quantity) > 0, min(refund_amount) > 0, count(sale_item_id) FROM retail.sales_return_items"
    ).fetchone() == (True, True, 0)
    assert connection.execute(
        "SELECT count(*), sum(unit_price) FROM retail.sale_items JOIN retail.sales ON sales.id = sale_id"
        " WHERE receipt_number LIKE 'A%'"
    ).fetchone() == (3, Decimal("-11062.060"))
    assert connection.execute(
        "SELECT count(*), sum(unit_price) FROM retail.sale_items WHERE quantity < 0"
    ).fetchone() == (1336, Decimal("0.000"))


def test_every_document_is_paid_in_full(connection: Connection) -> None:
    wrong = connection.execute(
        """
        SELECT count(*) FROM (
            SELECT coalesce(sale_id, sales_return_id) AS document_id, sum(amount) AS amount FROM retail.payments GROUP BY 1
        ) AS paid FULL JOIN (
            SELECT sale_id AS document_id, sum(quantity * unit_price) AS amount FROM retail.sale_items GROUP BY 1
            UNION ALL
            SELECT sales_return_id, sum(refund_amount) FROM retail.sales_return_items GROUP BY 1
        ) AS owed USING (document_id)
        WHERE paid.amount IS DISTINCT FROM owed.amount
        """
    ).fetchone()
    assert wrong == (0,)


def test_products_stand_in_groups_that_fit(connection: Connection) -> None:
    rows = connection.execute(
        "SELECT g.name, count(*) FROM retail.products p JOIN retail.product_groups g ON g.id = p.product_group_id GROUP BY 1"
    )
    sizes = {str(name): int(str(count)) for name, count in rows}
    assert set(sizes) == set(GROUP_NAMES)
    assert sizes[OTHER] < 500
    assert product_group("85123A", "WHITE HANGING HEART T-LIGHT HOLDER") == "Lights & candles"
    assert product_group("20725", "LUNCH BAG RED RETROSPOT") == "Lunch bags & boxes"
    assert product_group("m", "Manual") == CHARGES


def test_a_second_load_is_refused_and_changes_nothing(empty: Connection, some_lines: Path) -> None:
    load_online_retail(empty, some_lines)
    with pytest.raises(LoadError, match="'Online Retail' exists already"):
        load_online_retail(empty, some_lines)
    assert empty.execute("SELECT count(*) FROM retail.tenants").fetchone() == (1,)


def test_replacing_gives_the_same_rows_and_leaves_other_tenants_alone(empty: Connection, some_lines: Path) -> None:
    rows = "SELECT array_agg(t::text ORDER BY id) FROM retail.{} AS t"
    load_online_retail(empty, some_lines, tenant_name="Another")
    before = load_online_retail(empty, some_lines)
    tables = ("tenants", "stores", "products", "sales", "sale_items", "sales_return_items", "payments")
    first = [empty.execute(rows.format(table).encode()).fetchone() for table in tables]
    empty.execute("UPDATE retail.sale_items SET quantity = 99")
    empty.execute("UPDATE retail.sales SET customer_id = NULL WHERE tenant_id = %s", (before.tenant_id,))
    after = load_online_retail(empty, some_lines, replace=True)
    load_online_retail(empty, some_lines, replace=True, tenant_name="Another")
    assert before == after
    assert [empty.execute(rows.format(table).encode()).fetchone() for table in tables] == first
    indexes = empty.execute("SELECT count(*) FROM pg_indexes WHERE indexname LIKE '%replace%'").fetchone()
    assert indexes == (0,)


def test_a_bad_file_loads_nothing(empty: Connection, tmp_path: Path) -> None:
    table = pq.read_table(DATA_FILE).slice(0, 100)
    codes = table["stock_code"].to_pylist()
    codes[49] = ""
    path = tmp_path / "bad.parquet"
    pq.write_table(table.set_column(1, "stock_code", pa.array(codes)), path)
    with pytest.raises(InvoiceFileError, match="row 50, column stock_code: is empty"):
        load_online_retail(empty, path)
    assert empty.execute("SELECT count(*) FROM retail.tenants").fetchone() == (0,)


def test_ids_are_version_5_uuids() -> None:
    make = uuid5_maker(NAMESPACE_DNS)
    assert all(make(f"name {n}") == str(uuid5(NAMESPACE_DNS, f"name {n}")) for n in range(200))
