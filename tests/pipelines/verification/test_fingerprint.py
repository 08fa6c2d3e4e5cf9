"""Every kind of hand-made drift is found, though most of a range is compared by fingerprints only, and repaired."""

from collections.abc import Iterator
from datetime import date

import pytest

from pipelines.refresh import Connections, refresh
from pipelines.verification import verify
from sample_app.synthetic import generate
from tests.warehouse import Installation, Template, clone, discard, one

_FROM, _TO = date(2025, 11, 20), date(2025, 12, 31)

# Each is one statement by a careless hand; `{key}` is some document.
DRIFTS = {
    "a line's amount, by a cent": "UPDATE salespulse.fact_document_line SET gross_amount = gross_amount + 0.01 WHERE document_key = {key}",
    "a line's product": "UPDATE salespulse.fact_document_line SET product_key = product_key % 5 + 1 WHERE document_key = {key}",
    "a line's product, to one that is not": "UPDATE salespulse.fact_document_line SET product_key = 99999 WHERE document_key = {key}",
    "a line's store": "UPDATE salespulse.fact_document_line SET store_key = store_key + 1 WHERE document_key = {key}",
    "a line's date": "UPDATE salespulse.fact_document_line SET business_date = business_date - 1 WHERE document_key = {key}",
    "a line less": "DELETE FROM salespulse.fact_document_line WHERE document_key = {key}",
    "a line twice": "INSERT INTO salespulse.fact_document_line SELECT * FROM salespulse.fact_document_line WHERE document_key = {key}",
    "a line without its document": "UPDATE salespulse.fact_document_line SET document_key = 99999999 WHERE document_key = {key}",
    "a payment's method": "UPDATE salespulse.fact_document_payment SET payment_method = 'barter' WHERE document_key = {key}",
    "a payment less": "DELETE FROM salespulse.fact_document_payment WHERE document_key = {key}",
    "a document's sum": "UPDATE salespulse.fact_document SET tax_amount = tax_amount - 0.001 WHERE document_key = {key}",
    "a document's moment": "UPDATE salespulse.fact_document SET occurred_at = occurred_at + interval '1 microsecond' WHERE document_key = {key}",
    "a document's hour": "UPDATE salespulse.fact_document SET business_hour = 23 - business_hour WHERE document_key = {key}",
    "a document's date": "UPDATE salespulse.fact_document SET business_date = business_date - 7 WHERE document_key = {key}",
    "a document's date, far away": "UPDATE salespulse.fact_document SET business_date = '2020-02-02' WHERE document_key = {key}",
    "a document's customer": "UPDATE salespulse.fact_document SET customer_key = coalesce(customer_key, 0) % 4 + 1 WHERE document_key = {key}",
    "a document less": "DELETE FROM salespulse.fact_document WHERE document_key = {key}",
    "a document that nobody sold": "UPDATE salespulse.fact_document SET document_id = 'nobody' WHERE document_key = {key}",
    "a sale that counts twice": "UPDATE salespulse.fact_document SET sale_count = 2 WHERE document_key = {key}",
    "a rollup's cent": "UPDATE salespulse.daily_product_sales SET cost_amount = cost_amount + 0.01 WHERE business_date = '2025-12-05'",
    "a month's unit": "UPDATE salespulse.monthly_customer_sales SET units = units - 1 WHERE business_month = '2025-12-01'",
    "a rollup's row less": "DELETE FROM salespulse.hourly_store_sales WHERE business_date = '2025-12-06' AND business_hour > 12",
    "a rollup's row too many": "UPDATE salespulse.daily_store_sales SET business_date = '2031-01-01' WHERE business_date = '2025-12-07'",
}


@pytest.fixture(scope="module")
def filled(postgres_pair, retail_template: Template) -> Iterator[Installation]:
    installation = clone(postgres_pair, retail_template)
    generate(installation.admin(), tenants=3, stores=2, products=6, customers=5, sales=400, days=40)
    installation.wait_for_replay()
    refresh(installation.connections(), installation.options())
    yield installation
    discard(installation)


@pytest.fixture(scope="module")
def connections(filled: Installation) -> Connections:
    return filled.connections()


@pytest.mark.parametrize("statement", DRIFTS.values(), ids=DRIFTS.keys())
def test_drift_is_found_and_repaired(filled: Installation, connections: Connections, statement: str) -> None:
    key = one(
        filled.admin(),
        "SELECT min(l.document_key) FROM salespulse.fact_document_line AS l "
        "INNER JOIN salespulse.fact_document_payment USING (document_key) "
        "INNER JOIN salespulse.fact_document AS d USING (document_key) WHERE l.business_date = '2025-12-10' AND sale_count = 1",
    )
    written = filled.admin().execute(statement.format(key=key).encode()).rowcount
    assert written, "the drift was made"
    assert not verify(connections, filled.options(), from_date=_FROM, to_date=date(2031, 12, 31)).is_exact
    verify(connections, filled.options(), repair=True)
    assert verify(connections, filled.options()).is_exact
    assert filled.rollup_errors() == {}


def test_an_exact_range_is_not_read_row_by_row(filled: Installation, connections: Connections) -> None:
    steps: list[str] = []
    report = verify(connections, filled.options(), from_date=_FROM, to_date=_TO, at=steps.append)
    assert report.is_exact
    assert report.documents == one(
        filled.admin(),
        "SELECT count(*) FROM salespulse.fact_document WHERE business_date BETWEEN %s AND %s",
        _FROM,
        _TO,
    )
    assert report.lines > report.documents
    assert "stage window" not in steps


@pytest.mark.parametrize(
    "stray",
    [
        None,
        "UPDATE salespulse.fact_document_line SET business_date = '1950-06-15' WHERE document_key = {key}",
        "UPDATE salespulse.daily_payment_sales SET business_date = '1950-06-15' WHERE business_date = '2025-12-09'",
    ],
    ids=["none", "a line", "a rollup's row"],
)
def test_a_moment_long_ago_does_not_make_every_month_between_be_looked_at(
    filled: Installation, connections: Connections, stray: str | None
) -> None:
    """And what somebody put into a month between is found all the same."""
    admin, months = filled.admin(), set[date]()
    sale = one(admin, "SELECT min(id) FROM retail.sales WHERE status = 'completed' AND deleted_at IS NULL")
    (sold_at,) = admin.execute("SELECT sold_at FROM retail.sales WHERE id = %s", [sale]).fetchone() or (None,)
    admin.execute("UPDATE retail.sales SET sold_at = '1901-02-03' WHERE id = %s", [sale])
    filled.wait_for_replay()
    if stray is not None:
        refresh(connections, filled.options())
        key = one(admin, "SELECT min(document_key) FROM salespulse.fact_document_line")
        assert admin.execute(stray.format(key=key).encode()).rowcount
    report = verify(connections, filled.options(), repair=True, progress=lambda window, *_: months.add(window.month))
    assert date(1901, 2, 1) in months
    assert len(months) <= 8
    assert report.is_exact == (stray is None)
    admin.execute("UPDATE retail.sales SET sold_at = %s WHERE id = %s", [sold_at, sale])
    filled.wait_for_replay()
    assert verify(connections, filled.options()).is_exact
    assert filled.rollup_errors() == {}


def test_what_waits_in_quarantine_is_no_drift(filled: Installation, connections: Connections) -> None:
    admin = filled.admin()
    sale = one(admin, "SELECT min(id) FROM retail.sales WHERE status = 'completed' AND deleted_at IS NULL")
    admin.execute("UPDATE retail.sale_items SET unit_price = 'NaN' WHERE sale_id = %s", [sale])
    filled.wait_for_replay()
    steps: list[str] = []
    assert verify(connections, filled.options(), at=steps.append).is_exact
    assert one(admin, "SELECT count(*) FROM salespulse.quarantined_document") == 1
    assert "stage window" not in steps
    admin.execute("UPDATE retail.sale_items SET unit_price = 1 WHERE sale_id = %s", [sale])
    filled.wait_for_replay()
    assert verify(connections, filled.options()).is_exact
    assert one(admin, "SELECT count(*) FROM salespulse.quarantined_document") == 0


@pytest.mark.parametrize("dates", ["all", "some", "never"])
def test_a_range_of_which_the_source_has_nothing(installation: Installation, dates: str) -> None:
    """Its sales went past the triggers, or there never were any; in a session that has staged nothing yet."""
    generate(installation.admin(), tenants=2, stores=1, products=3, customers=2, sales=20, days=8)
    installation.wait_for_replay()
    refresh(installation.connections(), installation.options())
    admin, never = installation.admin(), date(2031, 1, 1)
    ends = {
        "all": {},
        "some": {
            "from_date": one(admin, "SELECT min(business_date) FROM salespulse.fact_document"),
            "to_date": one(admin, "SELECT max(business_date) FROM salespulse.fact_document"),
        },
        "never": {"from_date": never, "to_date": never},
    }[dates]
    admin.execute("SET session_replication_role = replica")
    for table in ("payments", "sales_return_items", "sales_returns", "sale_items", "sales"):
        admin.execute(f"DELETE FROM retail.{table}".encode())
    for table in ("daily_store_sales", "hourly_store_sales"):
        admin.execute(
            f"UPDATE salespulse.{table} SET business_date = '2031-01-01' "
            f"WHERE business_date = (SELECT min(business_date) FROM salespulse.{table})".encode()
        )
    installation.wait_for_replay()
    assert not verify(installation.connections(), installation.options(), **ends).is_exact
    assert not verify(installation.connections(), installation.options(), **ends, repair=True).is_exact
    assert verify(installation.connections(), installation.options(), **ends).is_exact
    if dates == "all":
        assert installation.rollup_errors() == {}
