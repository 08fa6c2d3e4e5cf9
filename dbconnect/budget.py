"""Whether all pools together fit into the servers: checked before the first of them opens.

Sum of pools + watchers + administrators ≤ 80 % of what a server takes, so that none ever says "too many clients".
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import psycopg

from dbconnect.errors import ConnectionBudgetError, SettingsError, UnavailableError
from dbconnect.routes import ADMIN, DASHBOARD_READ, ROUTES, connect_route
from dbconnect.settings import Settings
from dbsql import query

SHARE = 0.8
# psql of somebody who looks after the server, a migration, a backup.
_ADMINISTRATORS = 3


@dataclass(frozen=True)
class Demand:
    """What one route may open to one server.

    Attributes:
        route: its name.
        url: a secret.
        connections: at most, of all processes together.
        is_direct: whether it goes past any pooler by definition.
    """

    route: str
    url: str
    connections: int
    is_direct: bool = False


@dataclass(frozen=True)
class ServerBudget:
    """The demands on one server beside what it takes.

    Attributes:
        server: its port and start, as it gives them itself.
        max_connections: for ordinary roles: `max_connections` less the reserved ones.
        demands: by route, without URLs.
    """

    server: str
    max_connections: int
    demands: tuple[tuple[str, int], ...]

    @property
    def allowed(self) -> int:
        """80 % of what the server takes."""
        return int(self.max_connections * SHARE)

    @property
    def total(self) -> int:
        """The sum of the demands."""
        return sum(connections for _, connections in self.demands)


def demands(settings: Settings) -> list[Demand]:
    """List what the settings may open, the watchers included."""
    listed = []
    for route in ROUTES:
        try:
            url = route.url(settings)
        except SettingsError:
            continue  # not every process has every route
        listed.append(Demand(route.name, url, route.most_connections(settings), is_direct=route.is_direct))
    size = DASHBOARD_READ.most_connections(settings)
    listed += [Demand(item.name, item.url.get_secret_value(), size) for item in settings.dashboard_replicas]
    return listed


def check_connection_budget(settings: Settings) -> list[ServerBudget]:
    """Ask every reachable server how many connections it takes, and compare.

    Returns:
        One budget per server, however many URLs lead to it. A server that is away is left out.

    Raises:
        ConnectionBudgetError: the pools don't fit; the message lists them.
    """
    wanted = demands(settings)
    with ThreadPoolExecutor(max_workers=8) as threads:
        answers = list(threads.map(lambda demand: _ask(demand, settings.pooler_pool_size), wanted))
    budgets = _by_server((answer for answer in answers if answer is not None), watchers=_watchers(settings))
    for budget in budgets:
        if budget.total > budget.allowed:
            listed = ", ".join(f"{route} {connections}" for route, connections in budget.demands)
            raise ConnectionBudgetError(
                f"the PostgreSQL server at port {budget.server} takes {budget.max_connections} connections, and 80 % of "
                f"them ({budget.allowed}) may be planned for; the pools come to {budget.total}: {listed}. Make pools "
                "smaller (SALESPULSE_DASHBOARD_POOL_SIZE, SALESPULSE_PIPELINE_CONNECTIONS, …), say what the pooler "
                "opens at most (SALESPULSE_POOLER_POOL_SIZE), or raise max_connections"
            )
    return budgets


def _ask(demand: Demand, pooler_pool_size: int | None) -> tuple[ServerBudget, Demand] | None:
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


def _watchers(settings: Settings) -> int:
    """One of each process that serves, and one of the process beside it that makes its answers."""
    return settings.dashboard_processes * (2 if settings.has_maker else 1)


def _by_server(answers: Iterable[tuple[ServerBudget, Demand]], *, watchers: int) -> list[ServerBudget]:
    found: dict[str, ServerBudget] = {}
    for server, demand in answers:
        others = (("administrators", _ADMINISTRATORS), ("watchers", watchers))
        budget = found.get(server.server, replace(server, demands=others))
        if demand.route != ADMIN.name:
            budget = replace(budget, demands=(*budget.demands, (demand.route, demand.connections)))
        found[server.server] = budget
    return list(found.values())
