"""The read replica of the application's database."""

from dagster import ConfigurableResource

from dbconnect import load_settings
from pipelines.refresh import Connection, open_replica


class Replica(ConfigurableResource[None]):
    """Everything that is read of the application (role salespulse_reader), minutes at most."""

    def connect(self) -> Connection:
        """Open a connection; settings are read now, in the process that uses it, never before a fork.

        Raises:
            NoReplicaError: there is none, and reading the primary instead is not allowed.
        """
        return open_replica(load_settings())
