"""Copy changed tenants, stores, products and customers, and queue the documents that depend on them."""

from typing import Any

from psycopg import sql

from dbsql import query
from pipelines.refresh.connections import Connections
from pipelines.refresh.copy_stream import copy_across, source_query
from pipelines.source.mapping import SourceMapping

# Tenants first: the others refer to them.
_DIMENSIONS = ("tenant", "store", "product", "customer")
DIMENSION_ENTITIES = ("tenant", "store", "product", "product_group", "customer")


def apply_dimensions(
    connections: Connections, mapping: SourceMapping, keys: dict[str, set[str]], whole: set[str]
) -> int:
    """Merge changed dimension rows within the refresh's transaction; return the rows written.

    A changed time zone, and a store or tenant that went or came back, queues every document of the store.

    Args:
        connections: replica inside its snapshot, warehouse inside its transaction.
        mapping: which application.
        keys: entity to changed natural keys.
        whole: entities to compare completely.
    """
    written = 0
    stores_may_change = False
    for entity in _DIMENSIONS:
        group_keys = keys.get("product_group", set()) if entity == "product" else set()
        is_whole = entity in whole or (entity == "product" and "product_group" in whole)
        changed = keys.get(entity, set())
        if not (is_whole or changed or group_keys):
            continue
        written += _merge(connections, mapping, entity, sorted(changed), sorted(group_keys), is_whole=is_whole)
        stores_may_change = stores_may_change or entity in {"tenant", "store"}
    if stores_may_change:
        connections.warehouse.execute(query("dimensions.update_stores_in_force"))
        connections.warehouse.execute(query("dimensions.requeue_quarantined_tenants"))
    return written


def _merge(
    connections: Connections,
    mapping: SourceMapping,
    entity: str,
    keys: list[str],
    group_keys: list[str],
    *,
    is_whole: bool,
) -> int:
    warehouse = connections.warehouse
    parameters: dict[str, Any] = {"keys": keys, "is_whole": is_whole}
    warehouse.execute(query(f"dimensions.create_stage_{entity}"))
    copy_across(
        connections.replica,
        source_query(f"copy_{entity}s", mapping),
        {**parameters, "group_keys": group_keys},
        warehouse,
        f"dimensions.copy_stage_{entity}",
    )
    if entity == "tenant":
        merged = warehouse.execute(query("dimensions.merge_tenant")).rowcount
        return merged + warehouse.execute(query("dimensions.delete_tenant"), parameters).rowcount
    names = {
        "dimension": sql.Identifier("salespulse", f"dim_{entity}"),
        "stage": sql.Identifier("pg_temp", f"stage_{entity}"),
        "member_id": sql.Identifier(f"{entity}_id"),
    }
    warehouse.execute(sql.SQL(query("dimensions.infer_tenants")).format(**names))
    merged = warehouse.execute(query(f"dimensions.merge_{entity}")).rowcount
    return merged + warehouse.execute(sql.SQL(query("dimensions.delete_members")).format(**names), parameters).rowcount
