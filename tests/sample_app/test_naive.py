"""The truth of the tests is checked itself, once, on a dozen rows worked out by hand."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import psycopg
import pytest

from sample_app import install_application
from tests.expected_rollups import COLUMNS, differences, expected_rollups
from tests.servers import Database

_ROWS = """
INSERT INTO retail.tenants (id, name, timezone) VALUES ('t', 'T', 'Asia/Tokyo');
INSERT INTO retail.stores (id, tenant_id, name, timezone)
VALUES ('here', 't', 'H', NULL), ('ny', 't', 'N', 'America/New_York');
INSERT INTO retail.products (id, tenant_id, sku, name) VALUES ('p', 't', 'p', 'P');
INSERT INTO retail.customers (id, tenant_id, name) VALUES ('c', 't', 'C');
INSERT INTO retail.sales (id, tenant_id, store_id, customer_id, receipt_number, status, sold_at, deleted_at) VALUES
('a', 't', 'here', 'c', '1', 'completed', '2025-03-31 15:30+00', NULL),
('b', 't', 'ny', NULL, '2', 'completed', '2025-03-31 03:30+00', NULL),
('draft', 't', 'here', 'c', '3', 'draft', '2025-03-31 15:30+00', NULL),
('gone', 't', 'here', 'c', '4', 'completed', '2025-03-31 15:30+00', now());
INSERT INTO retail.sale_items (sale_id, product_id, quantity, unit_price, discount_amount, tax_amount, unit_cost) VALUES
('a', 'p', 2, 10.005, 1, 2, 4), ('a', NULL, 0.5, 3, 0, 0, NULL), ('draft', 'p', 9, 9, 9, 9, 9), ('gone', 'p', 9, 9, 9, 9, 9);
INSERT INTO retail.sales_returns (id, tenant_id, store_id, sale_id, customer_id, receipt_number, status, returned_at) VALUES
('r', 't', 'here', 'draft', 'c', '5', 'completed', '2025-03-31 16:00+00'),
('s', 't', 'here', 'a', 'c', '6', 'voided', '2025-03-31 16:00+00');
INSERT INTO retail.sales_return_items (sales_return_id, product_id, quantity, refund_amount, unit_cost)
VALUES ('r', 'p', 1, 9.005, 4), ('s', 'p', 1, 9, 4);
INSERT INTO retail.payments (sale_id, method, amount) VALUES ('a', 'card', 20), ('a', 'card', 2.51), ('draft', 'card', 1);
INSERT INTO retail.payments (sales_return_id, method, amount) VALUES ('r', 'cash', 9.005), ('s', 'cash', 9);
"""

# sale 'a' and return 'r', both after midnight in Tokyo; 'r' counts though its sale is a draft
_HERE = (
    1, 2, Decimal("2.5"), Decimal("21.51"), Decimal(1), Decimal(2), Decimal(4),
    1, 1, Decimal(1), Decimal("9.005"), Decimal("11.505"), Decimal("7.505"),
)  # fmt: skip
# a sale without lines is a sale all the same
_NEW_YORK = (1, *[0] * 12)


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.primary_url, autocommit=True) as connection:
        install_application(connection)
        connection.execute(_ROWS.encode())
        yield connection


def test_every_rollup_of_a_few_rows(connection: psycopg.Connection) -> None:
    april, march = date(2025, 4, 1), date(2025, 3, 30)
    with_product = (1, 1, 2, Decimal("20.01"), 1, 2, Decimal(4), 1, Decimal("9.005"))
    without_product = (1, 0, Decimal("0.5"), Decimal("1.5"), 0, 0, 0, 0, 0)
    assert expected_rollups(connection) == {
        "daily_store_sales": {("t", "here", april): _HERE, ("t", "ny", march): _NEW_YORK},
        "hourly_store_sales": {
            ("t", "here", april, 0): (*_HERE[:6], Decimal(8), 0, 0, 0, 0, Decimal("20.51"), Decimal("12.51")),
            ("t", "here", april, 1): (
                *[0] * 6, Decimal(-4), 1, 1, 1, Decimal("9.005"), Decimal("-9.005"), Decimal("-5.005"),
            ),
            ("t", "ny", march, 23): _NEW_YORK,
        },
        "daily_customer_sales": {("t", "here", "c", april): _HERE},
        "monthly_customer_sales": {("t", "here", "c", april): _HERE},
        "daily_product_sales": {
            ("t", "here", "p", april): with_product, ("t", "here", None, april): without_product,
        },
        "monthly_product_sales": {
            ("t", "here", "p", april): with_product, ("t", "here", None, april): without_product,
        },
        "daily_payment_sales": {
            ("t", "here", "card", april): (2, Decimal("22.51"), 0, 0),
            ("t", "here", "cash", april): (0, 0, 1, Decimal("9.005")),
        },
    }  # fmt: skip


def test_columns_name_what_is_given(connection: psycopg.Connection) -> None:
    for name, rows in expected_rollups(connection).items():
        keys, values = COLUMNS[name]
        assert {(len(key), len(row)) for key, row in rows.items()} == {(len(keys), len(values))}, name


def test_differences_are_found_both_ways() -> None:
    expected = {("a",): (1, Decimal("2.50")), ("b",): (1,)}
    actual = {("a",): (1, Decimal("2.5")), ("c",): (2,)}
    assert differences(expected, actual) == {("b",): ((1,), None), ("c",): (None, (2,))}
