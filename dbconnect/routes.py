"""How work reaches the databases: one route per kind of work, and the servers that dashboards read from.

Each route has connections of its own, so that a backfill can't starve the dashboards.
"""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import dict_row

from dbconnect.errors import UnavailableError
from dbconnect.settings_loader import Settings

Row: TypeAlias = dict[str, Any]
Connection: TypeAlias = psycopg.Connection[Row]
AsyncConnection: TypeAlias = psycopg.AsyncConnection[Row]

# A dashboard's reader waits for it; a pipeline can wait out a restart.
_CONNECT_S = 3
_PATIENT_CONNECT_S = 10


@dataclass(frozen=True)
class DatabaseRoute:
    """How one kind of work reaches its server.

    Attributes:
        name: shown as `application_name` and in states.
        setting: the field of `Settings` that holds the URL.
        role: that the URL should log in as.
        is_direct: not through a transaction pooler: DDL, LISTEN, session state.
        size_setting: the field that holds one process's maximum of connections; None: one.
        is_per_process: whether each process that serves dashboards opens as many.
    """

    name: str
    setting: str
    role: str
    is_direct: bool = False
    size_setting: str | None = None
    is_per_process: bool = False

    def url(self, settings: Settings) -> str:
        """Return the URL, a secret.

        Raises:
            SettingsError: it is not set.
        """
        return settings.url(self.setting)

    def max_connections(self, settings: Settings) -> int:
        """Return the maximum number of connections that all processes together open on this route."""
        each = 1 if self.size_setting is None else int(getattr(settings, self.size_setting))
        return each * (settings.dashboard_processes if self.is_per_process else 1)

    def connect(self, settings: Settings) -> Connection:
        """Open one connection: autocommit, rows as dictionaries, fit for a transaction pooler.

        Raises:
            SettingsError: the URL is not set.
            UnavailableError: the server can't be reached or refuses.
        """
        return connect_route(self.url(settings), self.name)


def connect_route(url: str, name: str) -> Connection:
    """Open one connection as `DatabaseRoute.connect` does, to a URL that may belong to no route.

    Raises:
        UnavailableError: the server can't be reached or refuses.
    """
    try:
        return psycopg.connect(url, **connection_options(name, connect_timeout_s=_PATIENT_CONNECT_S))
    except psycopg.OperationalError as error:
        raise UnavailableError(f"cannot reach the {name} server: {str(error).strip()}") from error


def connection_options(name: str, *, connect_timeout_s: int = _CONNECT_S) -> dict[str, Any]:
    """Keyword arguments of `psycopg.connect` that every route shares.

    No server-side preparing (before 1.22 PgBouncer hands one client another's prepared statement, silently), and nothing that a
    session would remember: through transaction pooling the next client would find it. A frozen machine is noticed by
    TCP within seconds.
    """
    return {
        "autocommit": True,
        "row_factory": dict_row,
        "prepare_threshold": None,
        "connect_timeout": connect_timeout_s,
        "application_name": f"salespulse {name}",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }


PRIMARY = "primary"
_DASHBOARD = "salespulse_dashboard"
_PIPELINE = "salespulse_pipeline"

DASHBOARD_READ = DatabaseRoute(
    "dashboard_read", "dashboard_url", _DASHBOARD, size_setting="dashboard_pool_size", is_per_process=True
)
DASHBOARD_FALLBACK = DatabaseRoute(
    "dashboard_fallback",
    "dashboard_fallback_url",
    _DASHBOARD,
    size_setting="dashboard_fallback_pool_size",
    is_per_process=True,
)
PIPELINE_READ = DatabaseRoute("pipeline_read", "replica_url", "salespulse_reader", size_setting="pipeline_connections")
PIPELINE_WRITE = DatabaseRoute("pipeline_write", "warehouse_url", _PIPELINE, size_setting="pipeline_connections")
SOURCE_WRITE = DatabaseRoute("source_write", "primary_url", _PIPELINE, size_setting="pipeline_connections")
DAGSTER = DatabaseRoute("dagster", "dagster_url", "Dagster's own", size_setting="dagster_connections")
DAGSTER_LISTEN = DatabaseRoute("dagster_listen", "dagster_direct_url", "Dagster's own", is_direct=True)
ADMIN = DatabaseRoute("admin", "admin_url", "one that may create schemas and roles", is_direct=True)

ROUTES = (
    DASHBOARD_READ,
    DASHBOARD_FALLBACK,
    PIPELINE_READ,
    PIPELINE_WRITE,
    SOURCE_WRITE,
    DAGSTER,
    DAGSTER_LISTEN,
    ADMIN,
)


@dataclass(frozen=True)
class Server:
    """One server of the dashboards' routes.

    Attributes:
        name: short, unique, shown in metrics and states.
        url: for reads, usually through PgBouncer; a secret.
        direct_url: the same server past the pooler, for its health checks; a secret.
        weight: its share of the reads beside the other replicas.
    """

    name: str
    url: str = field(repr=False)
    direct_url: str = field(repr=False)
    weight: int = 1


def dashboard_replicas(settings: Settings) -> tuple[Server, ...]:
    """Return the dashboards' replicas; empty when none is configured."""
    servers = []
    if settings.dashboard_url is not None:
        servers.append(
            Server(
                "replica",
                settings.url("dashboard_url"),
                settings.url("dashboard_direct_url"),
                settings.dashboard_weight,
            )
        )
    for item in settings.dashboard_replicas:
        direct = item.direct_url or item.url
        servers.append(Server(item.name, item.url.get_secret_value(), direct.get_secret_value(), item.weight))
    return tuple(servers)


def dashboard_primary(settings: Settings) -> Server | None:
    """Return the server that reads fall back to; None when none is configured."""
    if settings.dashboard_fallback_url is None:
        return None
    return Server(PRIMARY, settings.url("dashboard_fallback_url"), settings.url("dashboard_fallback_direct_url"))
