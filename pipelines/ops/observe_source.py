"""Observe the source assets: lag and pending changes, as the sensor reports them and as `observe_job` does on demand."""

import dagster as dg

from dbsql import query
from pipelines.assets.names import REPLICA_POOL
from pipelines.assets.source import source_observations
from pipelines.failures import as_dagster_failure
from pipelines.refresh import Connections, read_state
from pipelines.refresh.observe import observe_source
from pipelines.resources import Primary, Replica, Warehouse, open_routes

COUNTED_CHANGES = 10_000


@dg.op(pool=REPLICA_POOL)
def observe_source_assets(
    context: dg.OpExecutionContext, replica: Replica, warehouse: Warehouse, primary: Primary
) -> None:
    """Look at the source once, and report on each of its assets."""
    with as_dagster_failure("observing the source"), open_routes(replica, warehouse, primary) as connections:
        for event in observe_assets(connections):
            context.log_event(event)


def observe_assets(connections: Connections) -> list[dg.AssetObservation]:
    """Look at the source, and tell of each of its assets."""
    state = read_state(connections.warehouse)
    seen = [str(xid) for xid in state.seen] if state is not None else []
    rows = connections.replica.execute(
        query("assets.pending_by_entity"),
        {"horizon": str(state.horizon if state is not None else 0), "seen": seen, "most": COUNTED_CHANGES},
    )
    pending = {row["entity"]: row["pending_changes"] for row in rows}
    return source_observations(observe_source(connections), pending)
