"""The specs of the warehouse's tables: dimensions, facts, and a rollup per file of `dbsql/rollups/`. `refresh` writes them."""

from datetime import timedelta

import dagster as dg

from pipelines.assets.columns import table_schema
from pipelines.assets.names import OWNERS, WAREHOUSE_SCHEMA, source_key, table_key
from pipelines.assets.source import CHANGE_LOG
from pipelines.refresh import Rollup, all_rollups

# The schedule refreshes every 10 minutes whatever happens, so a table is never honestly older than that and a run.
FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=15), warn_window=timedelta(minutes=12))

_DIMENSIONS = {
    "dim_tenant": ("One row per tenant.", ("tenant",), ()),
    "dim_store": ("One row per store, with the time zone in force.", ("store",), ("dim_tenant",)),
    "dim_product": (
        "One row per product; a product that was sold before its own row came is inferred.",
        ("product",),
        ("dim_tenant",),
    ),
    "dim_customer": (
        "One row per customer; one who bought before the own row came is inferred.",
        ("customer",),
        ("dim_tenant",),
    ),
}
_FACTS = {
    "fact_document": (
        "One row per sale or return that counts, as it was last applied.",
        ("sale", "sale_return"),
        ("dim_store", "dim_customer"),
    ),
    "fact_document_line": (
        "One row per line of such a document.",
        ("sale_line", "sale_return_line"),
        ("fact_document", "dim_product"),
    ),
    "fact_document_payment": (
        "One row per payment of such a document.",
        ("sale_payment", "sale_return_payment"),
        ("fact_document",),
    ),
}
DIMENSIONS = tuple(_DIMENSIONS)
FACTS = tuple(_FACTS)


def table_specs() -> list[dg.AssetSpec]:
    """Return one spec per dimension, fact and rollup."""
    return [
        *(_spec(name, "dimensions", *about) for name, about in _DIMENSIONS.items()),
        *(_spec(name, "facts", *about) for name, about in _FACTS.items()),
        *(_rollup_spec(rollup) for rollup in all_rollups()),
    ]


def _spec(name: str, group: str, description: str, views: tuple[str, ...], tables: tuple[str, ...]) -> dg.AssetSpec:
    """Return the spec of a table that reads views of the source and other tables of the warehouse."""
    return dg.AssetSpec(
        table_key(name),
        deps=[CHANGE_LOG, *(source_key(view) for view in views), *(table_key(table) for table in tables)],
        description=description,
        group_name=group,
        owners=OWNERS,
        kinds={"postgres", "table"},
        tags={"layer": group},
        freshness_policy=FRESHNESS,
        metadata=_table_metadata(name),
    )


def _rollup_spec(rollup: Rollup) -> dg.AssetSpec:
    return dg.AssetSpec(
        table_key(rollup.name),
        deps=[table_key(fact) for fact in rollup.fact_tables],
        description=(
            f"{rollup.description}\n\nSums over {' and '.join(f'`{fact}`' for fact in rollup.fact_tables)}, kept by signed "
            f"differences; grain: {', '.join(f'`{name}`' for name in rollup.grain)}."
        ),
        group_name="rollups",
        owners=OWNERS,
        kinds={"postgres", "sql"},
        tags={"layer": "rollups", "grain": "month" if rollup.is_monthly else "day"},
        freshness_policy=FRESHNESS,
        metadata={
            **_table_metadata(rollup.name),
            "definition": dg.MetadataValue.md(f"```sql\n{rollup.text}\n```"),
        },
    )


def _table_metadata(name: str) -> dict[str, dg.TableSchema | str]:
    return {"dagster/table_name": f"{WAREHOUSE_SCHEMA}.{name}", "dagster/column_schema": table_schema(name)}
