"""What an application does to its rows, the same for every mapped application of the tests.

An operation is a function of a `World` (which keys there are) and three small numbers that choose among them; it yields
named statements of `<application>/operations.sql` with their parameters. Keys are numbers written as text, so that they
fit text and integer columns alike; amounts have two decimals, so that they can be cents.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, LiteralString, cast

Statement = tuple[str, dict[str, Any]]
Operation = Callable[["World", int, int, int], Iterator[Statement]]

FOLDER = Path(__file__).parent
_NAME = re.compile(r"^-- name: ([a-z_]+)\n", re.MULTILINE)

# store -> tenant; further keys likewise
STORES = {"11": "1", "12": "1", "21": "2"}
GROUPS = {"101": "1", "102": "1", "201": "2"}
PRODUCTS = {"1001": "1", "1002": "1", "1003": "1", "2001": "2"}
CUSTOMERS = {"501": "1", "502": "1", "601": "2"}
ZONES = ("UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu")
UNKNOWN_ZONE = "Mars/Olympus_Mons"
METHODS = ("card", "cash", "voucher")
QUANTITIES = (Decimal(1), Decimal(2), Decimal("0.5"), Decimal(-1), Decimal(0), Decimal(7))
PRICES = (Decimal("9.99"), Decimal("0.01"), Decimal(0), Decimal("1234567890123.45"), Decimal(100))
# Near midnight, the ends of months and the changes of clocks, in one zone or another.
MOMENTS = tuple(
    datetime(2025, month, day, hour, 30, tzinfo=UTC) + timedelta(minutes=29)
    for month, day, hour in ((3, 31, 23), (3, 30, 0), (3, 9, 6), (2, 28, 14), (4, 1, 10), (3, 15, 12), (3, 31, 9))
)


def read_statements(path: Path) -> dict[str, LiteralString]:
    """The named statements of a file."""
    parts = _NAME.split(path.read_text(encoding="utf-8"))
    # From the tests' own files: what LiteralString stands for.
    return {name: cast("LiteralString", text) for name, text in zip(parts[1::2], parts[2::2], strict=True)}


@dataclass
class World:
    """The keys that an application has used."""

    sales: list[str] = field(default_factory=list)
    returns: list[str] = field(default_factory=list)
    _last: int = 0

    def new_key(self) -> str:
        """A key that was never used before; of any table."""
        self._last += 1
        return str(10_000 + self._last)

    def sale(self, number: int) -> str:
        """One of the sales so far."""
        return self.sales[number % len(self.sales)] if self.sales else "9999"

    def returned(self, number: int) -> str:
        """One of the returns so far."""
        return self.returns[number % len(self.returns)] if self.returns else "9999"


def pick(choices: Any, number: int) -> Any:
    """One of a sequence or of a dictionary's keys."""
    listed = tuple(choices)
    return listed[number % len(listed)]


def seed(world: World, *_: int) -> Iterator[Statement]:
    """The tenants, stores, products and customers; where some were deleted, they come back."""
    for tenant in ("1", "2"):
        yield "insert_tenant", {"id": tenant, "name": f"Tenant {tenant}", "zone": "Europe/London"}
    for store, tenant in STORES.items():
        zone = {"12": "America/New_York"}.get(store)
        yield "insert_store", {"id": store, "tenant": tenant, "name": f"Store {store}", "zone": zone}
    for group, tenant in GROUPS.items():
        yield "insert_group", {"id": group, "tenant": tenant, "name": f"Group {group}"}
    for product, tenant in PRODUCTS.items():
        group = next(key for key, owner in GROUPS.items() if owner == tenant)
        yield "insert_product", {"id": product, "tenant": tenant, "group": group, "name": f"Product {product}"}
    for customer, tenant in CUSTOMERS.items():
        yield "insert_customer", {"id": customer, "tenant": tenant, "name": f"Customer {customer}"}


def _line(world: World, sale: str, tenant: str, a: int, b: int) -> Statement:
    return "insert_line", {
        "id": world.new_key(),
        "tenant": tenant,
        "sale": sale,
        "product": pick([None, *PRODUCTS], a + b),
        "quantity": pick(QUANTITIES, a),
        "price": pick(PRICES, b),
        "discount": Decimal("0.05") * (a % 3),
        "tax": Decimal("0.20") * (b % 2),
        "cost": pick([None, Decimal("1.10")], b),
    }


def sell(world: World, a: int, b: int, c: int) -> Iterator[Statement]:
    """A sale of up to three lines and two payments."""
    sale, store = world.new_key(), pick(STORES, a)
    tenant, customer = STORES[store], pick([None, *CUSTOMERS], b)
    world.sales.append(sale)
    yield "insert_sale", {
        "id": sale, "tenant": tenant, "store": store, "customer": customer, "at": pick(MOMENTS, c),
    }  # fmt: skip
    for number in range((a + b + c) % 4):
        yield _line(world, sale, tenant, a + number, b + number)
    for number in range(c % 3):
        yield "insert_payment", {
            "id": world.new_key(), "sale": sale, "method": pick(METHODS, b + number), "amount": pick(PRICES, c + number),
        }  # fmt: skip


def add_line(world: World, a: int, b: int, c: int) -> Iterator[Statement]:
    yield _line(world, world.sale(a), "1", b, c)


def add_orphan_line(world: World, a: int, b: int, c: int) -> Iterator[Statement]:
    """A line of a sale that is not there; foreign keys refuse it."""
    world.sales.append(world.new_key())
    yield _line(world, world.sales[-1], "1", b, c)


def return_half(world: World, a: int, b: int, c: int) -> Iterator[Statement]:
    """Some of a sale's goods come back."""
    store, sale = pick(STORES, b), world.sale(a)
    # A return's id is unique among returns only: it is mostly that of a sale.
    key = world.new_key() if sale in world.returns else sale
    world.returns.append(key)
    yield "insert_return", {
        "id": key, "tenant": STORES[store], "store": store, "sale": sale,
        "customer": pick([None, *CUSTOMERS], c), "at": pick(MOMENTS, c),
    }  # fmt: skip
    for number in range(1 + a % 2):
        yield "insert_return_line", {
            "id": world.new_key(), "tenant": STORES[store], "return": key,
            "product": pick([None, *PRODUCTS], b + number), "quantity": pick(QUANTITIES, c + number),
            "refund": pick(PRICES, a + number), "cost": pick([None, Decimal("0.30")], c),
        }  # fmt: skip
    yield "insert_refund", {"id": world.new_key(), "return": key, "method": pick(METHODS, c), "amount": Decimal("5.55")}


def _on_sale(name: str, /, **parameters: Callable[[World, int, int], Any]) -> Operation:
    def operation(world: World, a: int, b: int, c: int) -> Iterator[Statement]:
        yield name, {"sale": world.sale(a), **{key: give(world, b, c) for key, give in parameters.items()}}

    return operation


def _on_return(name: str) -> Operation:
    def operation(world: World, a: int, b: int, c: int) -> Iterator[Statement]:
        yield name, {"return": world.returned(a), "at": pick(MOMENTS, b)}

    return operation


def _plain(name: str, /, **parameters: Callable[[int, int], Any]) -> Operation:
    def operation(world: World, a: int, b: int, c: int) -> Iterator[Statement]:
        yield name, {key: give(a, b) for key, give in parameters.items()}

    return operation


def _tenant_of(world: World, b: int, c: int) -> str:
    return STORES[pick(STORES, b)]


def _other_tenant(world: World, b: int, c: int) -> str:
    """A tenant whose store it is not."""
    return "2" if _tenant_of(world, b, c) == "1" else "1"


def _store(world: World, b: int, c: int) -> str:
    return str(pick(STORES, b))


OFTEN: dict[str, Operation] = {
    "sell": sell,
    "return_half": return_half,
    "add_line": add_line,
    "edit_lines": _on_sale(
        "edit_lines", quantity=lambda w, b, c: pick(QUANTITIES, b), price=lambda w, b, c: pick(PRICES, c)
    ),
    "poison_a_line": _on_sale("poison_a_line"),
    "mend_lines": _on_sale("mend_lines"),
    "add_orphan_line": add_orphan_line,
    "delete_a_line": _on_sale("delete_a_line"),
    "move_a_line": _on_sale("move_a_line", other=lambda w, b, c: w.sale(b)),
    "set_payments": _on_sale(
        "set_payments", amount=lambda w, b, c: pick(PRICES, b), method=lambda w, b, c: pick(METHODS, c)
    ),
    "delete_payments": _on_sale("delete_payments"),
    "delete_sale": _on_sale("delete_sale"),
    "hide_sale": _on_sale("hide_sale"),
    "show_sale": _on_sale("show_sale"),
    "void_sale": _on_sale("void_sale"),
    "complete_sale": _on_sale("complete_sale"),
    "move_sale": _on_sale("move_sale", tenant=_tenant_of, store=_store),
    "misfile_sale": _on_sale("move_sale", tenant=_other_tenant, store=_store),
    "set_customer": _on_sale("set_customer", customer=lambda w, b, c: pick([None, *CUSTOMERS], b)),
    "set_moment": _on_sale("set_moment", at=lambda w, b, c: pick(MOMENTS, b)),
    "delete_return": _on_return("delete_return"),
    "void_return": _on_return("void_return"),
    "complete_return": _on_return("complete_return"),
    "set_return_moment": _on_return("set_return_moment"),
    "store_zone": _plain(
        "store_zone", store=lambda a, b: pick(STORES, a), zone=lambda a, b: pick([None, UNKNOWN_ZONE, *ZONES[1:4]], b)
    ),
    "tenant_zone": _plain(
        "tenant_zone", tenant=lambda a, b: pick("12", a), zone=lambda a, b: pick([*ZONES[4:], UNKNOWN_ZONE], b)
    ),
}
SELDOM: dict[str, Operation] = {
    "seed": seed,
    "delete_lines": _on_sale("delete_lines"),
    "set_group": _plain(
        "set_group",
        product=lambda a, b: pick(PRODUCTS, a),
        group=lambda a, b: pick([None, *GROUPS], b),
        name=lambda a, b: f"Renamed {b}",
    ),
    "rename_group": _plain("rename_group", group=lambda a, b: pick(GROUPS, a), name=lambda a, b: f"Group of {b}"),
    "delete_group": _plain("delete_group", group=lambda a, b: pick(GROUPS, a)),
    "delete_product": _plain("delete_product", product=lambda a, b: pick(PRODUCTS, a)),
    "delete_customer": _plain("delete_customer", customer=lambda a, b: pick(CUSTOMERS, a)),
    "delete_store": _plain("delete_store", store=lambda a, b: pick(STORES, a)),
    "delete_tenant": _plain("delete_tenant", tenant=lambda a, b: pick("12", a)),
    "truncate_lines": _plain("truncate_lines"),
    "truncate_payments": _plain("truncate_payments"),
    "truncate_sales": _plain("truncate_sales"),
    "truncate_customers": _plain("truncate_customers"),
    "touch_lines": _plain("touch_lines"),
}
