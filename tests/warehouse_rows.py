"""Read the warehouse's tables with the application's own ids instead of surrogate keys, in the shape of `tests.expected_rollups`."""

from typing import Any

from psycopg import Connection

from tests.expected_rollups import COLUMNS, Rollup

_NATURAL = {"method": "r.payment_method", "product_id": "p.product_id"}
# The large rollups leave out what follows from the sums of a row.
_DERIVED = {
    "net_amount": "r.gross_amount - r.discount_amount - r.refund_amount",
    "margin_amount": "r.gross_amount - r.discount_amount - r.refund_amount - r.cost_amount",
}
_STORED = {"daily_store_sales", "hourly_store_sales"}
_JOINS = {
    "tenant_id": "JOIN salespulse.dim_tenant AS t ON t.tenant_key = r.tenant_key",
    "store_id": "JOIN salespulse.dim_store AS s ON s.store_key = r.store_key AND s.tenant_key = r.tenant_key",
    "customer_id": "JOIN salespulse.dim_customer AS c ON c.customer_key = r.customer_key AND c.tenant_key = r.tenant_key",
    # Product 0 gathers lines without a product.
    "product_id": "LEFT JOIN salespulse.dim_product AS p ON p.product_key = r.product_key AND p.tenant_key = r.tenant_key",
}

# dimension -> width of its key, what the source has, what the warehouse has of rows that the source has (an inferred row has
# no name)
_DIMENSIONS = {
    "dim_tenant": (
        1,
        "SELECT tenant_id, name, time_zone FROM salespulse_source.tenant",
        "SELECT tenant_id, name, time_zone FROM salespulse.dim_tenant WHERE NOT is_deleted",
    ),
    "dim_store": (
        2,
        "SELECT tenant_id, store_id, name, time_zone FROM salespulse_source.store",
        (
            "SELECT t.tenant_id, d.store_id, d.name, d.own_time_zone FROM salespulse.dim_store AS d "
            "JOIN salespulse.dim_tenant AS t USING (tenant_key) WHERE NOT d.is_deleted"
        ),
    ),
    "dim_product": (
        2,
        "SELECT tenant_id, product_id, sku, name, product_group_id, product_group_name FROM salespulse_source.product",
        (
            "SELECT t.tenant_id, d.product_id, d.sku, d.name, d.product_group_id, d.product_group_name "
            "FROM salespulse.dim_product AS d JOIN salespulse.dim_tenant AS t USING (tenant_key) "
            "WHERE NOT d.is_deleted AND d.name IS NOT NULL"
        ),
    ),
    "dim_customer": (
        2,
        "SELECT tenant_id, customer_id, name FROM salespulse_source.customer",
        (
            "SELECT t.tenant_id, d.customer_id, d.name FROM salespulse.dim_customer AS d "
            "JOIN salespulse.dim_tenant AS t USING (tenant_key) WHERE NOT d.is_deleted AND d.name IS NOT NULL"
        ),
    ),
}


def rollup_rows(connection: Connection[Any], name: str) -> Rollup:
    """One rollup as key -> values, columns as in `COLUMNS[name]`."""
    keys, values = COLUMNS[name]
    columns = [_NATURAL.get(key, f"{key[0]}.{key}" if key in _JOINS else f"r.{key}") for key in keys]
    columns += [_DERIVED[value] if value in _DERIVED and name not in _STORED else f"r.{value}" for value in values]
    joins = " ".join(join for key, join in _JOINS.items() if key in keys)
    rows = connection.execute(f"SELECT {', '.join(columns)} FROM salespulse.{name} AS r {joins}".encode()).fetchall()
    rollup = {tuple(row[: len(keys)]): tuple(row[len(keys) :]) for row in rows}
    count = connection.execute(f"SELECT count(*) FROM salespulse.{name}".encode()).fetchone()
    assert count == (len(rollup),), f"{name}: rows without their dimension, or two of one natural key"
    return rollup


def all_rollup_rows(connection: Connection[Any]) -> dict[str, Rollup]:
    """Every rollup."""
    return {name: rollup_rows(connection, name) for name in COLUMNS}


def quarantined(connection: Connection[Any]) -> Rollup:
    """The documents in quarantine, as (kind, natural key) -> ()."""
    rows = connection.execute("SELECT document_kind, document_id FROM salespulse.quarantined_document").fetchall()
    return {tuple(row): () for row in rows}


def source_dimensions(connection: Connection[Any]) -> dict[str, Rollup]:
    """What the dimensions must hold: the mapping's views."""
    return {name: _keyed(connection, width, expected) for name, (width, expected, _) in _DIMENSIONS.items()}


def dimension_rows(connection: Connection[Any]) -> dict[str, Rollup]:
    """What they hold of rows that the source has."""
    return {name: _keyed(connection, width, statement) for name, (width, _, statement) in _DIMENSIONS.items()}


def _keyed(connection: Connection[Any], width: int, statement: str) -> Rollup:
    return {tuple(row[:width]): tuple(row[width:]) for row in connection.execute(statement.encode()).fetchall()}
