"""The three connections of a refresh, opened from the settings with their own names and limits."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from dbconnect import Settings, UnavailableError
from dbconnect.routes import PIPELINE_READ, PIPELINE_WRITE, SOURCE_WRITE, Connection, connect_route
from pipelines.refresh.errors import NoReplicaError

__all__ = ["Connection", "Connections", "connect_route", "open_connections", "open_replica"]


@dataclass(frozen=True)
class Connections:
    """What a refresh reads and writes; all in autocommit mode with rows as dictionaries.

    Attributes:
        replica: reads of the application and the change log (role salespulse_reader).
        warehouse: facts, rollups, state (role salespulse_pipeline).
        primary: prunes the change log (role salespulse_pipeline); None leaves the log unpruned.
    """

    replica: Connection
    warehouse: Connection
    primary: Connection | None = None


@contextmanager
def open_connections(settings: Settings) -> Iterator[Connections]:
    """Open the connections of the settings, and close them at the end.

    Raises:
        NoReplicaError: no replica is set or it can't be reached, and reading the primary is not allowed.
        UnavailableError: the warehouse or the primary can't be reached.
    """
    with ExitStack() as stack:
        warehouse = stack.enter_context(PIPELINE_WRITE.connect(settings))
        primary = stack.enter_context(SOURCE_WRITE.connect(settings))
        replica = stack.enter_context(open_replica(settings))
        yield Connections(replica=replica, warehouse=warehouse, primary=primary)


def open_replica(settings: Settings) -> Connection:
    """Open the replica, or the primary in its place where that is allowed.

    Raises:
        NoReplicaError: no replica is set or it can't be reached, and reading the primary is not allowed.
        UnavailableError: the primary was to be read instead and can't be reached.
    """
    if settings.reads_primary:
        if not settings.allow_primary_reads:
            raise NoReplicaError(
                "SALESPULSE_REPLICA_URL is not set. Give a replica, or set SALESPULSE_ALLOW_PRIMARY_READS=true to let "
                "the refresh read the primary"
            )
        return SOURCE_WRITE.connect(settings)
    try:
        return PIPELINE_READ.connect(settings)
    except UnavailableError as error:
        if settings.allow_primary_reads:
            return SOURCE_WRITE.connect(settings)
        raise NoReplicaError(f"{error}. The last good tables stay as they are") from error
