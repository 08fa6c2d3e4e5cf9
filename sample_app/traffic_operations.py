"""Each kind of operation on the application's tables. A function returns False when there is no row to act on."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, TypeAlias

from psycopg import Cursor

from dbsql import query

_METHODS = ("card", "card", "card", "cash", "cash", "wallet", "voucher")
_STATUSES = ("completed", "parked", "draft", "voided")
_HALF = Decimal("0.5")

# id, tenant, store, status
Sale: TypeAlias = tuple[str, str, str, str]


class NoStoreError(Exception):
    """The database holds no store, so nothing can be sold."""


@dataclass(slots=True)
class Catalog:
    """A session's cache of stores, products and customers; dropped when a row turns out to be deleted."""

    stores: list[tuple[str, str]] = field(default_factory=list)
    products: dict[str, list[str]] = field(default_factory=dict)
    customers: dict[str, list[str]] = field(default_factory=dict)
    hidden_sales: deque[str] = field(default_factory=lambda: deque(maxlen=100))

    def forget(self) -> None:
        """Read everything again at the next use."""
        self.stores.clear()
        self.products.clear()
        self.customers.clear()


@dataclass(slots=True)
class Work:
    """One transaction: its cursor, its random numbers, its time."""

    cursor: Cursor[Any]
    random: Random
    now: datetime
    catalog: Catalog

    def execute(self, name: str, **parameters: Any) -> Cursor[Any]:
        """Run one statement of `retail_traffic.sql`."""
        return self.cursor.execute(query(f"retail_traffic.{name}"), parameters)

    def store(self, tenant_id: str | None = None) -> tuple[str, str]:
        """Choose a store, of one tenant or of any; its id and its tenant's.

        Raises:
            NoStoreError: there is none.
        """
        if not self.catalog.stores:
            self.catalog.stores.extend(self.execute("stores").fetchall())
        stores = [row for row in self.catalog.stores if tenant_id in {None, row[1]}]
        if not stores:
            raise NoStoreError
        return self.random.choice(stores)

    def product(self, tenant_id: str) -> str | None:
        """Choose a product; None when the tenant has none."""
        return self._one_of("products", self.catalog.products, tenant_id)

    def customer(self, tenant_id: str) -> str | None:
        """Choose a customer; None when the tenant has none."""
        return self._one_of("customers", self.catalog.customers, tenant_id)

    def sale(self, *statuses: str) -> Sale | None:
        """Choose and lock a sale, of the last hour in seven cases of ten, else any; id, tenant, store and status."""
        row: Sale | None = self._pick("sale", statuses=list(statuses or _STATUSES))
        return row

    def sale_return(self) -> str | None:
        """Choose and lock a return that counts, likewise; its id."""
        row = self._pick("return")
        return row[0] if row else None

    def receipt(self, letter: str) -> str:
        """Make up a receipt number."""
        return f"{letter}{self.random.randrange(10**9):09d}"

    def _pick(self, what: str, **parameters: Any) -> Any:
        from_at = self.now - timedelta(hours=self.random.random())
        from_id = f"{self.random.getrandbits(32):08x}"
        is_recent = self.random.random() < 0.7
        row = self.execute(f"pick_recent_{what}", from_at=from_at, **parameters).fetchone() if is_recent else None
        return row or self.execute(f"pick_any_{what}", from_id=from_id, **parameters).fetchone()

    def _one_of(self, name: str, ids_by_tenant: dict[str, list[str]], tenant_id: str) -> str | None:
        if tenant_id not in ids_by_tenant:
            ids_by_tenant[tenant_id] = [row[0] for row in self.execute(name, tenant_id=tenant_id)]
        return self.random.choice(ids_by_tenant[tenant_id]) if ids_by_tenant[tenant_id] else None


def _sell(work: Work, sold_at: datetime) -> bool:
    store_id, tenant_id = work.store()
    customer_id = work.customer(tenant_id) if work.random.random() < 0.6 else None
    row = work.execute(
        "insert_sale",
        tenant_id=tenant_id,
        store_id=store_id,
        customer_id=customer_id,
        receipt_number=work.receipt("T"),
        sold_at=sold_at,
    ).fetchone()
    sale_id = row[0] if row else ""
    for _ in range(1 + int(work.random.expovariate(0.6))):
        _add_item(work, sale_id, tenant_id)
    work.execute("insert_payment_of_sale", sale_id=sale_id, method=work.random.choice(_METHODS))
    return True


def _add_item(work: Work, sale_id: str, tenant_id: str) -> None:
    quantity, unit_price = _quantity(work.random), _price(work.random)
    discount = (quantity * unit_price * Decimal("0.1")).quantize(Decimal("0.01")) if work.random.random() < 0.1 else 0
    tax = ((quantity * unit_price - discount) * Decimal("0.2")).quantize(Decimal("0.01"))
    cost = (unit_price * Decimal("0.6")).quantize(Decimal("0.001")) if work.random.random() < 0.9 else None
    work.execute(
        "insert_sale_item",
        sale_id=sale_id,
        product_id=work.product(tenant_id),
        quantity=quantity,
        unit_price=unit_price,
        discount_amount=discount,
        tax_amount=tax,
        unit_cost=cost,
    )


def _sale_now(work: Work) -> bool:
    return _sell(work, work.now)


def _sale_of_yesterday(work: Work) -> bool:
    return _sell(work, work.now - timedelta(days=1, seconds=work.random.randrange(6 * 3600)))


def _sale_of_last_month(work: Work) -> bool:
    return _sell(work, work.now - timedelta(days=work.random.randrange(25, 40), seconds=work.random.randrange(86_400)))


def _line(work: Work) -> str | None:
    sale = work.sale()
    if sale is None:
        return None
    lines = work.execute("lines_of_sale", sale_id=sale[0]).fetchall()
    return str(work.random.choice(lines)[0]) if lines else None


def _edit_line(work: Work) -> bool:
    item_id = _line(work)
    if item_id is None:
        return False
    work.execute("edit_line", item_id=item_id, quantity=_quantity(work.random), unit_price=_price(work.random))
    return True


def _remove_line(work: Work) -> bool:
    item_id = _line(work)
    return item_id is not None and bool(work.execute("delete_line", item_id=item_id))


def _on_a_sale(*statuses: str) -> Callable[[Callable[[Work, Sale], object]], Callable[[Work], bool]]:
    """Make an operation of a function of a sale in one of the statuses [any]."""

    def decorate(function: Callable[[Work, Sale], object]) -> Callable[[Work], bool]:
        def operate(work: Work) -> bool:
            sale = work.sale(*statuses)
            if sale is not None:
                function(work, sale)
            return sale is not None

        return operate

    return decorate


@_on_a_sale()
def _add_line(work: Work, sale: Sale) -> None:
    _add_item(work, sale[0], sale[1])


@_on_a_sale()
def _change_status(work: Work, sale: Sale) -> None:
    status = work.random.choice([status for status in _STATUSES if status != sale[3]])
    work.execute("set_status", sale_id=sale[0], status=status)


@_on_a_sale("completed")
def _void(work: Work, sale: Sale) -> None:
    work.execute("set_status", sale_id=sale[0], status="voided")


@_on_a_sale()
def _soft_delete(work: Work, sale: Sale) -> None:
    work.execute("soft_delete_sale", sale_id=sale[0], deleted_at=work.now)
    work.catalog.hidden_sales.append(sale[0])


def _restore(work: Work) -> bool:
    hidden = work.catalog.hidden_sales
    return bool(hidden) and work.execute("restore_sale", sale_id=hidden.popleft()).rowcount == 1


@_on_a_sale()
def _delete_sale(work: Work, sale: Sale) -> None:
    work.execute("delete_sale", sale_id=sale[0])


@_on_a_sale()
def _move_to_store(work: Work, sale: Sale) -> None:
    work.execute("move_to_store", sale_id=sale[0], store_id=work.store(sale[1])[0])


@_on_a_sale()
def _move_to_customer(work: Work, sale: Sale) -> None:
    customer_id = work.customer(sale[1]) if work.random.random() < 0.8 else None
    work.execute("move_to_customer", sale_id=sale[0], customer_id=customer_id)


def _take_back(work: Work, share: Decimal) -> bool:
    sale = work.sale("completed")
    if sale is None or work.execute("is_returned", sale_id=sale[0]).fetchone() == (True,):
        return False
    row = work.execute(
        "insert_return", sale_id=sale[0], receipt_number=work.receipt("B"), returned_at=work.now
    ).fetchone()
    return_id = row[0] if row else ""
    work.execute("insert_return_items", sale_id=sale[0], return_id=return_id, share=share)
    work.execute("insert_payment_of_return", return_id=return_id, method=work.random.choice(_METHODS))
    return True


def _return_half(work: Work) -> bool:
    return _take_back(work, _HALF)


def _return_full(work: Work) -> bool:
    return _take_back(work, Decimal(1))


def _undo_return(work: Work) -> bool:
    return_id = work.sale_return()
    if return_id is None:
        return False
    work.execute("delete_return" if work.random.random() < 0.5 else "void_return", return_id=return_id)
    return True


def _quantity(random: Random) -> Decimal:
    # Now and then goods are weighed.
    return Decimal(random.randrange(50, 4000)).scaleb(-3) if random.random() < 0.05 else Decimal(random.randint(1, 12))


def _price(random: Random) -> Decimal:
    return Decimal(random.randrange(25, 6000)).scaleb(-2)


OPERATIONS: dict[str, Callable[[Work], bool]] = {
    "sale": _sale_now,
    "late_sale_of_yesterday": _sale_of_yesterday,
    "late_sale_of_last_month": _sale_of_last_month,
    "edit_line": _edit_line,
    "add_line": _add_line,
    "remove_line": _remove_line,
    "change_status": _change_status,
    "void": _void,
    "soft_delete": _soft_delete,
    "restore": _restore,
    "delete_sale": _delete_sale,
    "move_to_store": _move_to_store,
    "move_to_customer": _move_to_customer,
    "return_half": _return_half,
    "return_full": _return_full,
    "undo_return": _undo_return,
}
