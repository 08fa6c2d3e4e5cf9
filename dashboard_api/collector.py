"""Gauges that are read when `/metrics` is: freshness, cache, servers, pools, the fallback's budget."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dashboard_api.freshness import Freshness
from dbconnect import RouterState


@dataclass(frozen=True)
class Reading:
    """What the gauges show at one moment."""

    freshness: Freshness | None
    cache_bytes: int
    cache_entries: int
    questions_waiting: int
    router: RouterState


class StateCollector(Collector):
    """Reads, and gives the families. Servers are named as the settings name them: such as `replica`."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Give every family."""
        reading = self._read()
        yield GaugeMetricFamily(
            "salespulse_dashboard_staleness_seconds",
            "Seconds since the moment that the figures reflect; -1 before the first refresh.",
            reading.freshness.staleness_s if reading.freshness else -1.0,
        )
        yield GaugeMetricFamily("salespulse_answer_cache_bytes", "Memory of the kept answers.", reading.cache_bytes)
        yield GaugeMetricFamily("salespulse_answer_cache_entries", "Kept answers.", reading.cache_entries)
        yield GaugeMetricFamily(
            "salespulse_questions_waiting",
            "Questions that are not in the cache and wait for their turn to be read.",
            reading.questions_waiting,
        )
        yield GaugeMetricFamily(
            "salespulse_fallback_budget", "Reads that may go to the primary now.", reading.router.fallback_budget
        )
        reads = CounterMetricFamily("salespulse_reads", "Reads by how they ended.", labels=("outcome",))
        for outcome, count in reading.router.reads.items():
            reads.add_metric((outcome,), count)
        yield reads
        yield from _servers(reading.router)
        yield from _pools(reading.router)

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are not checked against other collectors, since that would read the state at start."""
        return ()


def _servers(state: RouterState) -> Iterable[Metric]:
    usable = GaugeMetricFamily("salespulse_server_usable", "Whether reads are sent there.", labels=("server",))
    lag_s = GaugeMetricFamily("salespulse_replica_lag_seconds", "Age of what the server shows.", labels=("server",))
    lag_bytes = GaugeMetricFamily("salespulse_replica_lag_bytes", "Log not replayed yet.", labels=("server",))
    for server in state.servers:
        usable.add_metric((server.name,), float(server.is_usable))
        if server.lag_s is not None:
            lag_s.add_metric((server.name,), server.lag_s)
        if server.lag_bytes is not None:
            lag_bytes.add_metric((server.name,), server.lag_bytes)
    return usable, lag_s, lag_bytes


def _pools(state: RouterState) -> Iterable[Metric]:
    families = [
        GaugeMetricFamily(f"salespulse_pool_{name}", meaning, labels=("server",))
        for name, meaning in (
            ("size", "Connections open."),
            ("limit", "Connections at most."),
            ("in_use", "Connections that a read holds."),
            ("waiting", "Reads that wait for a connection."),
        )
    ]
    for server, pool in state.pools.items():
        for family, value in zip(families, (pool.size, pool.limit, pool.in_use, pool.waiting), strict=True):
            family.add_metric((server,), value)
    return families
