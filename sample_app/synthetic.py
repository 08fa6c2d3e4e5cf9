"""Generate synthetic tenants inside the server: many time zones, Zipf-like products, returns, discounts, tax.

Benchmarks and scale tests use it, so it is fast, and the same on every run: each value follows from the seed
(dbsql/queries/retail_synthetic.sql says how).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from psycopg import Connection, Cursor

from dbsql import query
from sample_app.errors import LoadError

DEFAULT_LAST_DAY = date(2025, 12, 31)
_BATCH_SALES = 50_000
_PARENTS = ("insert_tenants", "insert_stores", "insert_product_groups", "insert_products", "insert_customers")


@dataclass(frozen=True, slots=True)
class SyntheticCounts:
    """Counts of generated rows."""

    tenants: int
    stores: int
    products: int
    customers: int
    sales: int = 0
    sale_lines: int = 0
    returns: int = 0
    return_lines: int = 0
    payments: int = 0

    def as_dict(self) -> dict[str, int]:
        """Every field by name."""
        return asdict(self)


def generate(
    connection: Connection[Any],
    *,
    tenants: int,
    sales: int,
    days: int = 400,
    seed: int = 1,
    stores: int = 3,
    products: int = 200,
    customers: int = 500,
    last_day: date = DEFAULT_LAST_DAY,
    check_keys: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> SyntheticCounts:
    """Add `tenants` tenants with `sales` sales in all (about 2.8 lines each), in one transaction.

    Args:
        connection: to the application's database, as a role that may write its tables.
        tenants: how many; the first ones are the largest (shares fall as the square of a uniform draw).
        sales: over all tenants together.
        days: sales spread evenly over this many local days, up to and including `last_day`.
        seed: another seed, other tenants; the same seed, the same rows with the same ids.
        stores: per tenant.
        products: per tenant.
        customers: per tenant.
        last_day: local date of the newest sales.
        check_keys: False skips foreign keys *and every trigger, change capture too*, in this transaction: twice
            as fast, for benchmarks that install or backfill afterwards. Needs the right to set
            `session_replication_role`.
        progress: called as (sales so far, sales in all).

    Raises:
        LoadError: tenants of this seed exist already, a number is below 1, or the right is missing.
    """
    sizes = {"tenants": tenants, "stores": stores, "products": products, "customers": customers, "days": days}
    for name, value in {**sizes, "sales": sales}.items():
        if value < 1:
            raise LoadError(f"synthetic data: {name} must be at least 1, not {value}")
    parameters = {**sizes, "seed": seed, "last_day": last_day}
    with connection.transaction(), connection.cursor() as cursor:
        if cursor.execute(query("retail_synthetic.tenant_exists"), parameters).fetchone() == (True,):
            raise LoadError(f"synthetic tenants of seed {seed} exist already; use another seed")
        _prepare(cursor, check_keys=check_keys)
        for name in _PARENTS:
            cursor.execute(query(f"retail_synthetic.{name}"), parameters)
        totals = [0] * 5
        for first in range(1, sales + 1, _BATCH_SALES):
            last = min(first + _BATCH_SALES - 1, sales)
            cursor.execute(
                query("retail_synthetic.insert_sales"), {**parameters, "first_sale": first, "last_sale": last}
            )
            totals = [total + count for total, count in zip(totals, cursor.fetchone() or (), strict=True)]
            if progress:
                progress(last, sales)
        cursor.execute(query("retail_load.analyze"))
    return SyntheticCounts(tenants, tenants * stores, tenants * products, tenants * customers, *totals)


def _prepare(cursor: Cursor[Any], *, check_keys: bool) -> None:
    cursor.execute(query("retail_synthetic.more_memory"))
    cursor.execute(query("retail_synthetic.hash_joins"))
    if check_keys:
        return
    if cursor.execute(query("retail_synthetic.may_skip_triggers")).fetchone() != (True,):
        raise LoadError(
            "check_keys=False needs the right to set session_replication_role: "
            "GRANT SET ON PARAMETER session_replication_role TO this role, or leave the keys checked"
        )
    cursor.execute(query("retail_synthetic.skip_triggers"))
