"""The three connections of a refresh, opened from the settings with their own names and limits."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import dict_row

from connect import Settings
from connect.errors import UnavailableError
from pipelines.refresh.errors import NoReplicaError

Connection: TypeAlias = psycopg.Connection[dict[str, Any]]


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


def connect_route(url: str, name: str, *, timeout_s: float = 10.0) -> Connection:
    """Open one connection fit for a transaction pooler: no server-side preparing, no session settings.

    Raises:
        UnavailableError: the server can't be reached or refuses.
    """
    try:
        return psycopg.connect(
            url,
            autocommit=True,
            row_factory=dict_row,
            prepare_threshold=None,
            connect_timeout=max(2, int(timeout_s)),
            application_name=f"salespulse {name}",
        )
    except psycopg.OperationalError as error:
        raise UnavailableError(f"cannot reach the {name} server: {str(error).strip()}") from error


@contextmanager
def open_connections(settings: Settings) -> Iterator[Connections]:
    """Open the connections that the settings name, and close them at the end.

    Raises:
        NoReplicaError: no replica is set or it can't be reached, and reading the primary is not allowed.
        UnavailableError: the warehouse or the primary can't be reached.
    """
    with ExitStack() as stack:
        warehouse = stack.enter_context(connect_route(settings.url("warehouse_url"), "warehouse"))
        primary = stack.enter_context(connect_route(settings.url("primary_url"), "primary"))
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
        return connect_route(settings.url("primary_url"), "primary (as source)")
    try:
        return connect_route(settings.url("replica_url"), "replica")
    except UnavailableError as error:
        if settings.allow_primary_reads:
            return connect_route(settings.url("primary_url"), "primary (as source)")
        raise NoReplicaError(f"{error}. The last good tables stay as they are") from error
