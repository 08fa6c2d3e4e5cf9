"""The real Online Retail sales: the totals that are published with the data set, and every row against plain SQL."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from pipelines.refresh import RefreshResult, refresh
from pipelines.verification import verify
from sample_app import LoadCounts, load_online_retail
from sample_app.online_retail import DATA_FILE
from tests.expected_rollups import differences, expected_rollup
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation, Template, clone, discard
from tests.warehouse_rows import rollup_rows

Loaded = tuple[Installation, LoadCounts, RefreshResult]


@pytest.fixture(scope="module")
def loaded(postgres_pair: PostgresPair, retail_template: Template) -> Iterator[Loaded]:
    """The sales, loaded and refreshed once."""
    installation = clone(postgres_pair, retail_template)
    counts = load_online_retail(installation.admin(), DATA_FILE)
    installation.wait_for_replay()
    result = refresh(installation.connections(), installation.options())
    yield installation, counts, result
    discard(installation)


def test_totals_are_the_published_ones(loaded: Loaded) -> None:
    installation, _, result = loaded
    assert result.is_drained
    totals = (
        installation.admin()
        .execute(
            "SELECT sum(line_count + return_line_count), sum(sale_count + return_count), sum(net_amount), "
            "sum(gross_amount - refund_amount), sum(units - returned_units), count(DISTINCT store_key) "
            "FROM salespulse.daily_store_sales"
        )
        .fetchone()
    )
    # 5,176,450 units is the sum of the file's quantities.
    assert totals == (541_909, 25_900, Decimal("9747747.934"), Decimal("9747747.934"), 5_176_450, 38)
    keys = (
        installation.admin()
        .execute(
            "SELECT (SELECT count(DISTINCT product_key) FROM salespulse.monthly_product_sales), "
            "(SELECT count(DISTINCT customer_key) FROM salespulse.monthly_customer_sales)"
        )
        .fetchone()
    )
    assert keys == (4_070, 4_372)


@pytest.mark.parametrize("name", ["daily_store_sales", "daily_product_sales", "monthly_customer_sales"])
def test_every_row_is_what_plain_sql_says(loaded: Loaded, name: str) -> None:
    connection = loaded[0].admin()
    assert differences(expected_rollup(connection, name), rollup_rows(connection, name)) == {}


def test_verification_finds_no_difference(loaded: Loaded) -> None:
    installation = loaded[0]
    report = verify(
        installation.connections(), installation.options(), from_date=date(2011, 9, 1), to_date=date(2011, 9, 30)
    )
    assert report.is_exact, report.as_document()
    # The file has 50,226 lines of September 2011.
    assert report.lines == 50_226
