"""Observe the source assets on demand; the sensor does it too."""

import dagster as dg

from pipelines.assets.names import REPLICA_POOL
from pipelines.assets.source import observe_assets
from pipelines.failures import as_dagster_failure
from pipelines.resources import Primary, Replica, Warehouse, open_routes


@dg.op(pool=REPLICA_POOL)
def observe_source_assets(
    context: dg.OpExecutionContext, replica: Replica, warehouse: Warehouse, primary: Primary
) -> None:
    """Observe the source once, and report on each of its assets."""
    with as_dagster_failure("observing the source"), open_routes(replica, warehouse, primary) as connections:
        for event in observe_assets(connections):
            context.log_event(event)
