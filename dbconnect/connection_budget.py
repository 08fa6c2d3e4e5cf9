"""Check that all pools together fit into the servers, before the first of them opens.

Pools + health monitors + administrators ≤ 80 % of a server's connections, so that none refuses with "too many clients".
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import psycopg

from dbconnect.errors import ConnectionBudgetError, SettingsError, UnavailableError
from dbconnect.routes import ADMIN, DASHBOARD_READ, ROUTES, connect_route
from dbconnect.settings_loader import Settings
from dbsql import query

_USABLE_SHARE = 0.8
# An administrator's psql, a migration, a backup.
_ADMINISTRATORS = 3


@dataclass(frozen=True)
class Demand:
    """The connections that one route may open to one server.

    Attributes:
        route: its name.
        url: a secret.
        connections: maximum of all processes together.
        is_direct: whether it bypasses any pooler.
    """

    route: str
    url: str
    connections: int
    is_direct: bool = False


@dataclass(frozen=True)
class ServerBudget:
    """The demands on one server, and its limit.

    Attributes:
        server: its port and start time, as it reports them.
        max_connections: for ordinary roles: `max_connections` less the reserved ones.
        demands: by route, without URLs.
    """

    server: str
    max_connections: int
    demands: tuple[tuple[str, int], ...]

    @property
    def allowed(self) -> int:
        """Return 80 % of the server's connections."""
        return int(self.max_connections * _USABLE_SHARE)

    @property
    def total(self) -> int:
        """Return the sum of the demands."""
        return sum(connections for _, connections in self.demands)


def list_demands(settings: Settings) -> list[Demand]:
    """Return the demands of every configured route and further replica."""
    demands = []
    for route in ROUTES:
        try:
            url = route.url(settings)
        except SettingsError:
            continue  # not every process has every route
        demands.append(Demand(route.name, url, route.max_connections(settings), is_direct=route.is_direct))
    size = DASHBOARD_READ.max_connections(settings)
    demands += [Demand(item.name, item.url.get_secret_value(), size) for item in settings.dashboard_replicas]
    return demands


def check_connection_budget(settings: Settings) -> list[ServerBudget]:
    """Compare the demands with the connection limit of every reachable server.

    Returns:
        One budget per server, however many URLs lead to it. A server that is down is left out.

    Raises:
        ConnectionBudgetError: the pools don't fit; the message lists them.
    """
    with ThreadPoolExecutor(max_workers=8) as threads:
        limits = list(
            threads.map(lambda demand: _query_limit(demand, settings.pooler_pool_size), list_demands(settings))
        )
    budgets = _by_server((limit for limit in limits if limit is not None), watchers=settings.dashboard_processes)
    for budget in budgets:
        if budget.total > budget.allowed:
            demands = ", ".join(f"{route} {connections}" for route, connections in budget.demands)
            raise ConnectionBudgetError(
                f"the PostgreSQL server at port {budget.server} takes {budget.max_connections} connections, and 80 % of "
                f"them ({budget.allowed}) may be planned for; the pools come to {budget.total}: {demands}. Make pools "
                "smaller (SALESPULSE_DASHBOARD_POOL_SIZE, SALESPULSE_PIPELINE_CONNECTIONS, …), set the pooler's "
                "limit (SALESPULSE_POOLER_POOL_SIZE), or raise max_connections"
            )
    return budgets


def _query_limit(demand: Demand, pooler_pool_size: int | None) -> tuple[ServerBudget, Demand] | None:
    try:
        with connect_route(demand.url, f"budget {demand.route}") as connection:
            row = connection.execute(query("dbconnect.connection_limits")).fetchone()
            is_pooled = row is not None and row["backend_pid"] != connection.info.backend_pid
    except (UnavailableError, psycopg.OperationalError):
        return None
    if row is None:
        return None
    if is_pooled and pooler_pool_size is not None:
        demand = replace(demand, connections=min(demand.connections, pooler_pool_size))
    usable = row["max_connections"] - row["reserved_connections"]
    return ServerBudget(row["server_identity"], usable, ()), demand


def _by_server(limits: Iterable[tuple[ServerBudget, Demand]], *, watchers: int) -> list[ServerBudget]:
    budgets: dict[str, ServerBudget] = {}
    for server, demand in limits:
        others = (("administrators", _ADMINISTRATORS), ("watchers", watchers))
        budget = budgets.get(server.server, replace(server, demands=others))
        if demand.route != ADMIN.name:
            budget = replace(budget, demands=(*budget.demands, (demand.route, demand.connections)))
        budgets[server.server] = budget
    return list(budgets.values())
