"""Bring changed tenants, stores, products and customers over, and queue what hangs on them."""

from dataclasses import dataclass
from typing import Any

from dbsql import query
from pipelines.refresh.connections import Connections
from pipelines.refresh.copy_stream import copy_across, source_query
from pipelines.source.mapping import SourceMapping


@dataclass(frozen=True)
class _Dimension:
    entity: str
    plural: str
    has_tenant: bool = True


# Tenants first: the others point at them.
_DIMENSIONS = (
    _Dimension("tenant", "tenants", has_tenant=False),
    _Dimension("store", "stores"),
    _Dimension("product", "products"),
    _Dimension("customer", "customers"),
)
DIMENSION_ENTITIES = ("tenant", "store", "product", "product_group", "customer")


def apply_dimensions(
    connections: Connections, mapping: SourceMapping, keys: dict[str, set[str]], whole: set[str]
) -> int:
    """Merge changed dimension rows within the refresh's transaction; give the rows written.

    A changed time zone, and a store or tenant that went or came back, queues every document of the store.

    Args:
        connections: replica inside its snapshot, warehouse inside its transaction.
        mapping: which application.
        keys: entity to changed natural keys.
        whole: entities to compare completely.
    """
    written = 0
    stores_may_settle = False
    for dimension in _DIMENSIONS:
        entity = dimension.entity
        group_keys = keys.get("product_group", set()) if entity == "product" else set()
        is_whole = entity in whole or (entity == "product" and "product_group" in whole)
        changed = keys.get(entity, set())
        if not (is_whole or changed or group_keys):
            continue
        written += _merge(connections, mapping, dimension, sorted(changed), sorted(group_keys), is_whole=is_whole)
        stores_may_settle = stores_may_settle or entity in {"tenant", "store"}
    if stores_may_settle:
        connections.warehouse.execute(query("dimensions.settle_stores"))
        connections.warehouse.execute(query("dimensions.requeue_known_tenants"))
    return written


def _merge(
    connections: Connections,
    mapping: SourceMapping,
    dimension: _Dimension,
    keys: list[str],
    group_keys: list[str],
    *,
    is_whole: bool,
) -> int:
    warehouse, entity = connections.warehouse, dimension.entity
    parameters: dict[str, Any] = {"keys": keys, "is_whole": is_whole}
    warehouse.execute(query(f"dimensions.create_stage_{entity}"))
    copy_across(
        connections.replica,
        source_query(f"copy_{dimension.plural}", mapping),
        {**parameters, "group_keys": group_keys},
        warehouse,
        f"dimensions.copy_stage_{entity}",
    )
    if dimension.has_tenant:
        warehouse.execute(query(f"dimensions.infer_tenants_of_{dimension.plural}"))
    merged = warehouse.execute(query(f"dimensions.merge_{entity}")).rowcount
    return merged + warehouse.execute(query(f"dimensions.delete_{entity}"), parameters).rowcount
