"""Compare a mapping with the live database: list each missing or wrong table, column, view and trigger."""

from dataclasses import dataclass
from typing import Any

import psycopg

from dbsql import query
from pipelines.source.install import trigger_names
from pipelines.source.mapping import Capture, SourceMapping

_MONEY = {"numeric", "bigint", "integer", "smallint"}

# The contract: view -> column -> the types it may have (empty: any).
CONTRACT: dict[str, dict[str, set[str]]] = {
    "tenant": {"tenant_id": {"text"}, "tenant_ref": set(), "name": {"text"}, "time_zone": {"text"}},
    "store": {
        "tenant_id": {"text"},
        "store_id": {"text"},
        "store_ref": set(),
        "name": {"text"},
        "time_zone": {"text"},
    },
    "product": {
        "tenant_id": {"text"},
        "product_id": {"text"},
        "product_ref": set(),
        "sku": {"text"},
        "name": {"text"},
        "product_group_id": {"text"},
        "product_group_ref": set(),
        "product_group_name": {"text"},
    },
    "customer": {"tenant_id": {"text"}, "customer_id": {"text"}, "customer_ref": set(), "name": {"text"}},
    "sale": {
        "tenant_id": {"text"},
        "sale_id": {"text"},
        "sale_ref": set(),
        "store_id": {"text"},
        "customer_id": {"text"},
        "sold_at": {"timestamp with time zone"},
        "is_counted": {"boolean"},
    },
    "sale_line": {
        "sale_ref": set(),
        "product_id": {"text"},
        "units": _MONEY,
        "gross_amount": _MONEY,
        "discount_amount": _MONEY,
        "tax_amount": _MONEY,
        "cost_amount": _MONEY,
    },
    "sale_payment": {"sale_ref": set(), "payment_method": {"text"}, "amount": _MONEY},
    "sale_return": {
        "tenant_id": {"text"},
        "sale_return_id": {"text"},
        "sale_return_ref": set(),
        "store_id": {"text"},
        "customer_id": {"text"},
        "returned_at": {"timestamp with time zone"},
        "is_counted": {"boolean"},
    },
    "sale_return_line": {
        "sale_return_ref": set(),
        "product_id": {"text"},
        "returned_units": _MONEY,
        "refund_amount": _MONEY,
        "cost_amount": _MONEY,
    },
    "sale_return_payment": {"sale_return_ref": set(), "payment_method": {"text"}, "amount": _MONEY},
}


@dataclass(frozen=True)
class SourceProblem:
    """One difference between the mapping and the database; `what` says where and what to do."""

    what: str

    def __str__(self) -> str:
        """Give the text."""
        return self.what


def check_source(connection: psycopg.Connection[Any], mapping: SourceMapping) -> list[SourceProblem]:
    """List what keeps the mapping from working; an empty list means that all is in place. Changes nothing."""
    return [
        *(SourceProblem(text) for capture in mapping.capture for text in _table_problems(connection, capture)),
        *(SourceProblem(text) for view in CONTRACT for text in _view_problems(connection, view)),
    ]


def _columns(connection: psycopg.Connection[Any], schema: str, relation: str) -> dict[str, str]:
    return dict(connection.execute(query("source.list_columns"), {"schema": schema, "relation": relation}).fetchall())


def _table_problems(connection: psycopg.Connection[Any], capture: Capture) -> list[str]:
    columns = _columns(connection, capture.schema_name, capture.table_name)
    if not columns:
        return [f"table {capture.table} is missing: create it, or take it out of source.toml"]
    problems = [
        f"column {capture.table}.{name} is missing: source.toml names it as the {role} of a changed {change.entity}"
        for change in capture.changes
        for role, name in (("key", change.key), ("tenant", change.tenant))
        if name is not None and name not in columns
    ]
    names = {"schema": capture.schema_name, "relation": capture.table_name}
    present = {row[0] for row in connection.execute(query("source.list_triggers"), names)}
    problems += [
        f"trigger {name} on {capture.table} is missing or disabled: run `salespulse source install`"
        for name in trigger_names()
        if name not in present
    ]
    return problems


def _view_problems(connection: psycopg.Connection[Any], view: str) -> list[str]:
    relation = f"salespulse_source.{view}"
    columns = _columns(connection, "salespulse_source", view)
    if not columns:
        return [f"view {relation} is missing: views.sql must create it, then run `salespulse source install`"]
    problems = []
    for name, types in CONTRACT[view].items():
        actual_type = columns.get(name)
        if actual_type is None:
            problems.append(f"column {relation}.{name} is missing: views.sql must give it")
        elif types and actual_type not in types:
            problems.append(
                f"column {relation}.{name} is {actual_type}; views.sql must give {' or '.join(sorted(types))}"
            )
    return problems
