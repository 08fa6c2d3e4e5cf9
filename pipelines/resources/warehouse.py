"""The server that holds facts and rollups."""

from dagster import ConfigurableResource

from dbconnect import load_settings
from pipelines.refresh import Connection, connect_route


class Warehouse(ConfigurableResource[None]):
    """Facts, rollups and the refresh's state (role salespulse_pipeline)."""

    def connect(self) -> Connection:
        """Open a connection; settings are read now, in the process that uses it, never before a fork.

        Raises:
            SettingsError: no warehouse is set.
            UnavailableError: it can't be reached.
        """
        return connect_route(load_settings().url("warehouse_url"), "warehouse")
