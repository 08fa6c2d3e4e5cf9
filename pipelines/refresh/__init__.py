"""The incremental refresh: changes past the watermark, signed differences, one warehouse transaction. No Dagster."""

from pipelines.refresh.backfill_queue import enqueue_range
from pipelines.refresh.connections import Connection, Connections, connect_route, open_connections, open_replica
from pipelines.refresh.errors import (
    ForeignSourceError,
    NoReplicaError,
    RefreshError,
    ReplicaBehindError,
    RollupError,
)
from pipelines.refresh.options import RefreshOptions, RefreshResult
from pipelines.refresh.rollups import Rollup, all_rollups, rollup_named
from pipelines.refresh.runner import refresh, restart_history
from pipelines.refresh.state import RefreshState, read_state

__all__ = [
    "Connection",
    "Connections",
    "ForeignSourceError",
    "NoReplicaError",
    "RefreshError",
    "RefreshOptions",
    "RefreshResult",
    "RefreshState",
    "ReplicaBehindError",
    "Rollup",
    "RollupError",
    "all_rollups",
    "connect_route",
    "enqueue_range",
    "open_connections",
    "open_replica",
    "read_state",
    "refresh",
    "restart_history",
    "rollup_named",
]
