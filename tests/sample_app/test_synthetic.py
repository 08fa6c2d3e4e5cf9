"""Synthetic tenants: the same for the same seed, consistent, and varied enough to be worth measuring on."""

from collections.abc import Iterator
from datetime import date

import psycopg
import pytest

from sample_app import LoadError, install_application
from sample_app.schema import TABLES
from sample_app.synthetic import generate
from tests.servers import Database

Connection = psycopg.Connection[tuple[object, ...]]
_SMALL = {"tenants": 8, "sales": 4000, "days": 60, "products": 40, "customers": 30}


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with psycopg.connect(database.primary_url, autocommit=True) as connection:
        install_application(connection)
        yield connection


def _contents(connection: Connection) -> dict[str, object]:
    return {
        table: connection.execute(
            f"SELECT count(*), md5(string_agg(t::text, '' ORDER BY id)) FROM retail.{table} AS t".encode()
        ).fetchone()
        for table in sorted(TABLES)
    }


def _count(connection: Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(str(row[0]))


def test_a_seed_always_gives_the_same_rows(connection: Connection) -> None:
    seen: list[tuple[int, int]] = []
    counts = generate(connection, seed=3, progress=lambda done, total: seen.append((done, total)), **_SMALL)
    first = _contents(connection)
    assert seen == [(4000, 4000)]
    assert {name: row[0] for name, row in first.items() if isinstance(row, tuple)} == {
        "tenants": counts.tenants,
        "stores": counts.stores,
        "product_groups": 8 * counts.tenants,
        "products": counts.products,
        "customers": counts.customers,
        "sales": counts.sales,
        "sale_items": counts.sale_lines,
        "sales_returns": counts.returns,
        "sales_return_items": counts.return_lines,
        "payments": counts.payments,
    }
    connection.execute("TRUNCATE retail.tenants CASCADE")
    assert generate(connection, seed=3, check_keys=False, **_SMALL) == counts
    assert _contents(connection) == first
    # Another seed adds other rows beside them.
    generate(connection, seed=4, **_SMALL)
    assert _count(connection, "SELECT count(*) FROM retail.sales") == 8000
    with pytest.raises(LoadError, match="seed 3 exist already"):
        generate(connection, seed=3, **_SMALL)


def test_keys_hold_even_when_they_were_not_checked(connection: Connection) -> None:
    generate(connection, check_keys=False, last_day=date(2026, 3, 31), **_SMALL)
    foreign_keys = connection.execute(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'f' AND"
        " connamespace = 'retail'::regnamespace"
    ).fetchall()
    assert len(foreign_keys) == 19
    for table, name in foreign_keys:
        definition = connection.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", (name,)
        ).fetchone()
        assert definition is not None
        # Adding a constraint again checks every row.
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
        connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition[0]}".encode())
    assert _count(connection, "SELECT count(DISTINCT sold_at::date) FROM retail.sales") in range(60, 63)
    assert connection.execute("SELECT max(sold_at) < '2026-04-01 12:00+00' FROM retail.sales").fetchone() == (True,)


def test_rows_are_varied_and_consistent(connection: Connection) -> None:
    generate(connection, seed=5, **_SMALL)
    statuses = connection.execute("SELECT array_agg(DISTINCT status ORDER BY status) FROM retail.sales").fetchone()
    assert statuses == (["completed", "draft", "parked", "voided"],)
    for some in (
        "retail.sales WHERE deleted_at IS NOT NULL",
        "retail.sales WHERE customer_id IS NULL",
        "retail.sale_items WHERE product_id IS NULL",
        "retail.sale_items WHERE unit_cost IS NULL",
        "retail.sale_items WHERE discount_amount > 0",
        "retail.sale_items WHERE quantity <> round(quantity)",
        "retail.sales_returns WHERE sale_id IS NULL",
        "retail.sales_returns r JOIN retail.sales s ON s.id = r.sale_id WHERE r.store_id <> s.store_id",
        "retail.stores WHERE timezone IS NULL",
    ):
        assert _count(connection, f"SELECT count(*) FROM {some}") > 0, some
    for none in (
        # every sale is paid in full, every refund paid out
        """(SELECT sale_id, sum(quantity * unit_price - discount_amount + tax_amount) AS owed FROM retail.sale_items
            GROUP BY 1) AS o JOIN (SELECT sale_id, sum(amount) AS paid FROM retail.payments GROUP BY 1) AS p
            USING (sale_id) WHERE owed <> paid""",
        "retail.sales WHERE NOT EXISTS (SELECT FROM retail.sale_items WHERE sale_id = sales.id)",
        "retail.sales WHERE NOT EXISTS (SELECT FROM retail.payments WHERE sale_id = sales.id)",
        "retail.sales_returns r JOIN retail.sales s ON s.id = r.sale_id WHERE r.returned_at < s.sold_at",
        "retail.sales s JOIN retail.stores t ON t.id = s.store_id WHERE t.tenant_id <> s.tenant_id",
        "retail.sales s JOIN retail.customers c ON c.id = s.customer_id WHERE c.tenant_id <> s.tenant_id",
        """retail.sale_items i JOIN retail.sales s ON s.id = i.sale_id JOIN retail.products p ON p.id = i.product_id
            WHERE p.tenant_id <> s.tenant_id""",
        """(SELECT product_id, count(DISTINCT unit_price) AS prices FROM retail.sale_items WHERE product_id IS NOT NULL
            GROUP BY 1) AS p WHERE prices > 1""",
    ):
        assert _count(connection, f"SELECT count(*) FROM {none}") == 0, none


def test_products_follow_zipf(connection: Connection) -> None:
    generate(connection, seed=6, tenants=1, sales=6000, products=100)
    shares = dict(
        connection.execute(
            "SELECT name, count(*)::float8 / sum(count(*)) OVER () FROM retail.sale_items i"
            " JOIN retail.products p ON p.id = i.product_id GROUP BY name"
        ).fetchall()
    )
    # The first is about twice as common as the second and ten times as common as the tenth.
    first, second, tenth = (float(str(shares[f"Product {rank}"])) for rank in (1, 2, 10))
    assert 1.4 < first / second < 2.2
    assert 6 < first / tenth < 12


@pytest.mark.parametrize("sizes", [{"tenants": 0}, {"sales": -1}, {"days": 0}, {"products": 0}])
def test_sizes_below_one_are_refused(connection: Connection, sizes: dict[str, int]) -> None:
    with pytest.raises(LoadError, match=r"must be at least 1"):
        generate(connection, **{**_SMALL, **sizes})
    assert _count(connection, "SELECT count(*) FROM retail.tenants") == 0


def test_skipping_the_key_checks_needs_the_right_to(connection: Connection) -> None:
    connection.execute("DO $$BEGIN CREATE ROLE retail_test_clerk; EXCEPTION WHEN duplicate_object THEN NULL; END$$")
    connection.execute("GRANT USAGE ON SCHEMA retail TO retail_test_clerk")
    connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA retail TO retail_test_clerk")
    connection.execute("SET ROLE retail_test_clerk")
    with pytest.raises(LoadError, match="GRANT SET ON PARAMETER session_replication_role"):
        generate(connection, check_keys=False, **_SMALL)
    assert generate(connection, **_SMALL).sales == 4000
    connection.execute("RESET ROLE")
    connection.execute("DROP OWNED BY retail_test_clerk")
    connection.execute("DROP ROLE retail_test_clerk")
