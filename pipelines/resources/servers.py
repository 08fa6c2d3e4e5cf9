"""The three servers that runs use. Resources hold no URLs, so that none shows up in Dagster's UI.

Settings are read in the process that opens the connection, never before a fork.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import ConfigurableResource

from dbconnect import load_settings
from pipelines.refresh import Connection, Connections, connect_route, open_replica


class Replica(ConfigurableResource[None]):
    """The read replica of the application's database (role salespulse_reader): everything that is read of it."""

    def connect(self) -> Connection:
        """Open a connection.

        Raises:
            NoReplicaError: there is none, and reading the primary instead is not allowed.
        """
        return open_replica(load_settings())


class Warehouse(ConfigurableResource[None]):
    """The server with facts, rollups and the refresh's state (role salespulse_pipeline)."""

    def connect(self) -> Connection:
        """Open a connection.

        Raises:
            SettingsError: no warehouse is set.
            UnavailableError: it can't be reached.
        """
        return connect_route(load_settings().url("warehouse_url"), "warehouse")


class Primary(ConfigurableResource[None]):
    """The application's primary (role salespulse_pipeline): its change log is pruned there; no sales are read."""

    def connect(self) -> Connection:
        """Open a connection.

        Raises:
            SettingsError: no primary is set.
            UnavailableError: it can't be reached.
        """
        return connect_route(load_settings().url("primary_url"), "primary")


@contextmanager
def open_routes(replica: Replica, warehouse: Warehouse, primary: Primary) -> Iterator[Connections]:
    """Open one connection to each server, and close them at the end.

    Raises:
        SettingsError: a server is not set.
        UnavailableError: a server can't be reached; NoReplicaError (one of them) names the replica.
    """
    with warehouse.connect() as to_warehouse, primary.connect() as to_primary, replica.connect() as to_replica:
        yield Connections(replica=to_replica, warehouse=to_warehouse, primary=to_primary)
