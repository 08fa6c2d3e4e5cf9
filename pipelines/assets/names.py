"""Asset keys (the schema, then the table's own name), owners and pools."""

import dagster as dg

SOURCE_SCHEMA = "salespulse_source"
WAREHOUSE_SCHEMA = "salespulse"
OWNERS = ("team:data",)

# Pools cap what runs at the same time (limits in dagster.yaml). A refresh reads the replica too, but only its writing has
# to be limited: one at a time.
WAREHOUSE_POOL = "warehouse"
REPLICA_POOL = "replica"


def source_key(view: str) -> dg.AssetKey:
    """Return the asset key of a view of the source contract, or of the change log."""
    return dg.AssetKey([SOURCE_SCHEMA, view])


def table_key(table: str) -> dg.AssetKey:
    """Return the asset key of a table of the warehouse."""
    return dg.AssetKey([WAREHOUSE_SCHEMA, table])
