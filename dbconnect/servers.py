"""Which servers the dashboards may read, from the settings: replicas with weights, and the primary."""

from dataclasses import dataclass, field

from dbconnect.settings import Settings

PRIMARY = "primary"


@dataclass(frozen=True)
class Server:
    """One server of the dashboards' routes.

    Attributes:
        name: short, unique, shown in metrics and states.
        url: what reads go through (PgBouncer, as a rule); a secret.
        direct_url: the same server past the pooler, for watching it; a secret.
        weight: its share of the reads beside the other replicas.
    """

    name: str
    url: str = field(repr=False)
    direct_url: str = field(repr=False)
    weight: int = 1


def dashboard_replicas(settings: Settings) -> tuple[Server, ...]:
    """Give the replicas of the dashboards; empty when none is set."""
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
    """Give the server that reads fall back to; None when the settings name none."""
    if settings.dashboard_fallback_url is None:
        return None
    return Server(PRIMARY, settings.url("dashboard_fallback_url"), settings.url("dashboard_fallback_direct_url"))
