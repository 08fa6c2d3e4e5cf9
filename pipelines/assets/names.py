"""The grammar of asset keys: layer, then the relation's own name. One name per thing: the table and its asset share it."""

import dagster as dg

SOURCE_SCHEMA = "salespulse_source"
WAREHOUSE_SCHEMA = "salespulse"
OWNERS = ("team:data",)

# Pools cap what runs at the same time (limits in dagster.yaml). A refresh reads the replica too, but what has to be
# limited about it is the writing: one at a time.
WAREHOUSE_POOL = "warehouse"
REPLICA_POOL = "replica"


def source_key(view: str) -> dg.AssetKey:
    """Give the key of something on the application's side: a view of the contract, or the change log."""
    return dg.AssetKey([SOURCE_SCHEMA, view])


def table_key(table: str) -> dg.AssetKey:
    """Give the key of a table of the warehouse."""
    return dg.AssetKey([WAREHOUSE_SCHEMA, table])
