"""Rows that can't be counted: quarantined with the reason, the rest applied, released when mended. Both applications."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from pipelines.refresh import RefreshResult
from pipelines.verification import verify
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import UNKNOWN_ZONE, World
from tests.warehouse import Installation, one

Refreshed = Callable[..., RefreshResult]


def _do(session: Session, name: str, /, **parameters: Any) -> None:
    session.connection.execute(session.statements[name], parameters)


def _reasons(mapped: Installation) -> dict[str, int]:
    rows = mapped.admin().execute("SELECT reason, count(*) FROM salespulse.quarantined_document GROUP BY reason")
    return dict(rows.fetchall())


def _sale(
    session: Session, world: World, *, sale: str = "77", store: str = "11", at: str = "2025-03-05 12:00+00"
) -> str:
    _do(session, "insert_sale", id=sale, tenant="1", store=store, customer=None, at=at)
    return sale


def _line(session: Session, sale: str, quantity: Any, price: Any = "1.00", key: str = "78") -> None:
    _do(
        session, "insert_line", id=key, tenant="1", sale=sale, product="1001", quantity=quantity, price=price,
        discount=0, tax=0, cost=None,
    )  # fmt: skip


def test_unknown_time_zone(mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed) -> None:
    refresh_mapped()
    counted = mapped.truth()
    _do(session, "store_zone", store="11", zone=UNKNOWN_ZONE)
    _sale(session, world)
    refresh_mapped()
    assert _reasons(mapped).keys() == {"unknown time zone"}
    assert mapped.rollup_errors() == {}, "the rest of the batch is applied"
    assert verify(mapped.connections(), mapped.options()).is_exact
    _do(session, "store_zone", store="11", zone=None)
    _do(session, "delete_sale", sale="77")
    refresh_mapped()
    assert _reasons(mapped) == {}
    assert mapped.rollup_errors(counted) == {}


def test_a_tenant_with_an_unknown_time_zone_holds_its_stores_without_one(
    mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed
) -> None:
    _do(session, "tenant_zone", tenant="1", zone=UNKNOWN_ZONE)
    refresh_mapped()
    assert _reasons(mapped).keys() == {"unknown time zone"}
    assert mapped.rollup_errors() == {}
    _do(session, "tenant_zone", tenant="1", zone="Asia/Tokyo")
    refresh_mapped()
    assert _reasons(mapped) == {}
    assert mapped.rollup_errors() == {}


def test_amounts_that_are_missing_or_not_finite(
    mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed
) -> None:
    sale = _sale(session, world)
    _line(session, sale, Decimal(1))
    refresh_mapped()
    _do(session, "poison_a_line", sale=sale)
    refresh_mapped()
    assert sum(_reasons(mapped).values()) == 1
    assert _reasons(mapped).keys() <= {"missing amount", "amount not finite"}
    assert mapped.rollup_errors() == {}
    assert verify(mapped.connections(), mapped.options()).is_exact
    _do(session, "mend_lines", sale=sale)
    refresh_mapped()
    assert _reasons(mapped) == {}
    assert mapped.rollup_errors() == {}


@pytest.mark.parametrize("quantity", ["NaN", "Infinity", "-Infinity"])
def test_quantities_that_are_no_numbers(
    mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed, quantity: str
) -> None:
    sale = _sale(session, world)
    _line(session, sale, Decimal(quantity))
    _line(session, sale, Decimal(1), key="79")
    refresh_mapped()
    assert _reasons(mapped) == {"amount not finite": 1}
    assert mapped.rollup_errors() == {}


@pytest.mark.parametrize(
    ("quantity", "price"), [("-3", "9.99"), ("0", "9.99"), ("1", "1000000000000.01"), ("1e12", "1")]
)
def test_unusual_quantities_and_amounts_count_as_they_are(
    mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed, quantity: str, price: str
) -> None:
    _line(session, _sale(session, world), Decimal(quantity), Decimal(price))
    refresh_mapped()
    assert _reasons(mapped) == {}
    assert mapped.rollup_errors() == {}
    gross = one(mapped.admin(), "SELECT gross_amount FROM salespulse.fact_document WHERE document_id = '77'")
    assert gross == Decimal(quantity) * Decimal(price)


@pytest.mark.parametrize("at", ["infinity", "1066-10-14 09:00+00", "4000-01-01 00:00+00"])
def test_moments_out_of_range(
    mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed, at: str
) -> None:
    _line(session, _sale(session, world, at=at), Decimal(1))
    refresh_mapped()
    assert _reasons(mapped) == {"moment out of range": 1}
    assert mapped.rollup_errors() == {}
    report = verify(mapped.connections(), mapped.options())
    assert report.is_exact
    assert report.from_date is not None
    assert report.from_date.year == 2025, "a moment that no document can have does not stretch the range"
    _do(session, "set_moment", sale="77", at="2025-03-02 09:00+00")
    refresh_mapped()
    assert _reasons(mapped) == {}
    assert mapped.rollup_errors() == {}


@pytest.mark.parametrize("any_template", ["shop"], indirect=True)
def test_a_line_without_its_sale(
    mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed
) -> None:
    _line(session, "76", Decimal(2), key="80")
    refresh_mapped()
    assert _reasons(mapped) == {"line without its document": 1}, "also one from before the first refresh"
    _do(session, "delete_lines", sale="76")
    _line(session, "77", Decimal(2))
    refresh_mapped()
    assert _reasons(mapped) == {"line without its document": 1}
    assert mapped.rollup_errors() == {}
    assert verify(mapped.connections(), mapped.options()).is_exact
    _sale(session, world)
    refresh_mapped()
    assert _reasons(mapped) == {}
    assert mapped.rollup_errors() == {}
    _do(session, "delete_sale", sale="77")
    refresh_mapped()
    assert _reasons(mapped) == {"line without its document": 1}
    _do(session, "delete_lines", sale="77")
    refresh_mapped()
    assert _reasons(mapped) == {}


@pytest.mark.parametrize("any_template", ["shop"], indirect=True)
def test_lines_of_uncounted_sales_that_a_truncate_leaves_behind(
    mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed
) -> None:
    """Neither facts nor quarantine know a cancelled sale: only the source can tell what hung on it."""
    _line(session, _sale(session, world), Decimal(2))
    _do(session, "void_sale", sale="77")
    refresh_mapped()
    assert _reasons(mapped) == {}
    for name in ("truncate_sales", "truncate_payments"):
        _do(session, name)
        refresh_mapped(batch_documents=3)
        assert _reasons(mapped).keys() == {"line without its document"}
        assert mapped.rollup_errors() == {}
    _do(session, "truncate_lines")
    refresh_mapped()
    assert _reasons(mapped) == {}
    assert mapped.rollup_errors() == {}


@pytest.mark.parametrize("any_template", ["shop"], indirect=True)
@pytest.mark.parametrize("lost", ["store", "tenant"])
def test_a_sale_whose_store_or_tenant_is_missing(
    mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed, lost: str
) -> None:
    refresh_mapped()
    counted = mapped.truth()
    if lost == "store":
        _do(session, "delete_store", store="11")
    else:
        _do(session, "delete_tenant", tenant="1")
    refresh_mapped()
    assert _reasons(mapped).keys() == {f"unknown {lost}"}
    assert mapped.rollup_errors() == {}
    if lost == "store":
        _do(session, "insert_store", id="11", tenant="1", name="Store 11", zone=None)
    else:
        _do(session, "insert_tenant", id="1", name="Tenant 1", zone="Europe/London")
    refresh_mapped()
    assert _reasons(mapped) == {}
    assert mapped.rollup_errors(counted) == {}


@pytest.mark.parametrize("any_template", ["shop"], indirect=True)
def test_a_tenant_that_was_missing_before_the_first_refresh(
    mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed
) -> None:
    """Its stores have rows, and one a zone of its own: all the same nobody knows whose sales these are."""
    _do(session, "delete_tenant", tenant="1")
    refresh_mapped()
    assert _reasons(mapped).keys() == {"unknown tenant"}
    assert mapped.rollup_errors() == {}
    assert verify(mapped.connections(), mapped.options()).is_exact
    _do(session, "insert_tenant", id="1", name="There after all", zone="Europe/London")
    refresh_mapped()
    assert _reasons(mapped) == {}
    assert mapped.rollup_errors() == {}


def test_a_bad_row_does_not_hold_up_a_batch_cut_small(
    mapped: Installation, session: Session, world: World, refresh_mapped: Refreshed
) -> None:
    for number in range(5):
        _line(session, _sale(session, world, sale=f"7{number}"), Decimal("NaN" if number % 2 else 1), key=f"8{number}")
    refresh_mapped(batch_documents=1)
    assert _reasons(mapped) == {"amount not finite": 2}
    assert mapped.rollup_errors() == {}
