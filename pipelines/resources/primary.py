"""The primary of the application's database: its change log is pruned there, and its position is the lag's reference."""

from dagster import ConfigurableResource

from dbconnect import load_settings
from pipelines.refresh import Connection, connect_route


class Primary(ConfigurableResource[None]):
    """The change log's home (role salespulse_pipeline); no pipeline reads sales here."""

    def connect(self) -> Connection:
        """Open a connection; settings are read now, in the process that uses it, never before a fork.

        Raises:
            SettingsError: no primary is set.
            UnavailableError: it can't be reached.
        """
        return connect_route(load_settings().url("primary_url"), "primary")
