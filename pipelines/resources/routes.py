"""The three routes of a refresh together."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.refresh import Connections
from pipelines.resources.primary import Primary
from pipelines.resources.replica import Replica
from pipelines.resources.warehouse import Warehouse


@contextmanager
def open_routes(replica: Replica, warehouse: Warehouse, primary: Primary) -> Iterator[Connections]:
    """Open one connection to each, and close them at the end.

    Raises:
        SettingsError: a server is not set.
        UnavailableError: a server can't be reached; NoReplicaError (one of them) names the replica.
    """
    with warehouse.connect() as to_warehouse, primary.connect() as to_primary, replica.connect() as to_replica:
        yield Connections(replica=to_replica, warehouse=to_warehouse, primary=to_primary)
