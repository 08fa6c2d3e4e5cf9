"""PgBouncer between clients and the local PostgreSQL, where it is installed; no wheel carries it.

There are two processes, because `query_wait_timeout` is one per process: dashboards fail within two seconds, pipelines
and Dagster wait for a server that restarts. Pipelines can't slow down the dashboards' process either.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_stack.account import Account
from local_stack.credentials import Credentials
from local_stack.databases import APPLICATION_DATABASE, DAGSTER_DATABASE
from local_stack.paths import write_private
from local_stack.ports import LOOPBACK

_EXTRA_PATH = "/usr/sbin:/usr/local/sbin:/opt/homebrew/opt/pgbouncer/bin"

# `options` is not an ignored parameter: PgBouncer would drop a statement timeout in it silently.
_CONFIG = """\
[databases]
{databases}
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {directory}/userlist.txt
pool_mode = transaction
max_client_conn = {max_client_connections}
default_pool_size = 5
query_wait_timeout = {query_wait_timeout_s}
server_connect_timeout = 5
server_login_retry = 1
server_idle_timeout = 60
server_lifetime = 3600
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
stats_period = 60
logfile =
pidfile = {directory}/pgbouncer.pid
"""


@dataclass(frozen=True)
class Alias:
    """One route through PgBouncer: a database name with a pool of its own."""

    name: str
    port: int
    database: str
    pool_size: int


@dataclass(frozen=True)
class Pooler:
    """One PgBouncer process."""

    name: str
    port: int
    query_wait_timeout_s: int
    aliases: tuple[Alias, ...]
    max_client_connections: int = 2000


def find_pgbouncer(account: Account) -> Path | None:
    """Return the path of PgBouncer; None when it is not installed or the account can't execute it."""
    path = shutil.which("pgbouncer") or shutil.which("pgbouncer", path=_EXTRA_PATH)
    return Path(path) if path and account.can_reach(Path(path)) else None


def plan_poolers(ports: Mapping[str, int]) -> tuple[Pooler, Pooler]:
    """Return the two poolers and their routes.

    The pools sum to 60 on the primary and 35 on the standby. With direct sessions and replication this is under 80 % of
    the servers' `max_connections` (120).
    """
    primary, standby = ports["postgres_primary"], ports["postgres_standby"]
    dashboards = Pooler(
        name="pgbouncer_dashboard",
        port=ports["pgbouncer_dashboard"],
        query_wait_timeout_s=2,
        aliases=(
            Alias("dashboard", standby, APPLICATION_DATABASE, pool_size=20),
            Alias("dashboard_fallback", primary, APPLICATION_DATABASE, pool_size=5),
        ),
    )
    pipelines = Pooler(
        name="pgbouncer_pipeline",
        port=ports["pgbouncer_pipeline"],
        query_wait_timeout_s=30,
        aliases=(
            Alias("pipeline_read", standby, APPLICATION_DATABASE, pool_size=15),
            Alias("pipeline_write", primary, APPLICATION_DATABASE, pool_size=20),
            Alias("dagster", primary, DAGSTER_DATABASE, pool_size=25),
            # Dagster's webserver does SET statement_timeout, which in transaction mode stays with the server session.
            Alias("dagster_ui", primary, DAGSTER_DATABASE, pool_size=10),
        ),
    )
    return dashboards, pipelines


def configure_pgbouncer(directory: Path, pooler: Pooler, credentials: Credentials, account: Account) -> Path:
    """Write the pooler's configuration and secrets into its directory; return the configuration's path."""
    directory.mkdir(mode=0o700, exist_ok=True)
    account.chown(directory)
    users = "".join(f'"{role}" "{credentials.verifier(role)}"\n' for role in sorted(credentials.roles))
    write_private(directory / "userlist.txt", users, owner=account)
    databases = "".join(
        f"{alias.name} = host={LOOPBACK} port={alias.port} dbname={alias.database} pool_size={alias.pool_size}\n"
        for alias in pooler.aliases
    )
    text = _CONFIG.format(
        databases=databases,
        host=LOOPBACK,
        port=pooler.port,
        directory=directory,
        max_client_connections=pooler.max_client_connections,
        query_wait_timeout_s=pooler.query_wait_timeout_s,
    )
    path = directory / "pgbouncer.ini"
    write_private(path, text, owner=account)
    return path
